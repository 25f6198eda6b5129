"""Distances, the way back and the measures of a decision map, by hand and by their laws."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon

from kdcore.comparison import decision_map as maps


@given(st.integers(0, 1000))
def test_the_metric_is_that_of_scipy_and_symmetric(seed: int) -> None:
    p, q = np.random.default_rng(seed).dirichlet(np.ones(4), 2)
    assert maps.jensen_shannon(p, q) == pytest.approx(jensenshannon(p, q))
    assert maps.jensen_shannon(p, q) == pytest.approx(maps.jensen_shannon(q, p))
    assert maps.jensen_shannon(p, p) == 0


def test_a_whole_change_of_mind_is_the_root_of_log_two() -> None:
    way = np.array([[[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], [[0.5, 0.5]] * 3])
    assert maps.lengths(way) == pytest.approx([math.log(2) ** 0.5, 0.0])
    assert maps.lengths(way[:, ::-1]) == pytest.approx(maps.lengths(way))


def test_weight_one_is_euclid_and_weight_zero_the_models() -> None:
    euclid, told = maps.matrix(np.array([1.0, 2.0, 3.0]), 3), maps.matrix(np.array([4.0, 4.0, 0.0]), 3)
    assert maps.discriminative(euclid, told, 1.0) == pytest.approx(euclid / euclid.mean())
    assert maps.discriminative(euclid, told, 0.0) == pytest.approx(told / told.mean())
    half = maps.discriminative(euclid, told, 0.5)
    assert half == pytest.approx(half.T)
    assert np.diag(half) == pytest.approx(0)
    assert half.mean() == pytest.approx(1)
    assert np.isfinite(maps.discriminative(euclid, np.zeros((3, 3)), 0.5)).all()


@given(st.integers(0, 1000))
def test_a_row_s_own_place_gives_the_row_and_all_else_a_mean(seed: int) -> None:
    rng = np.random.default_rng(seed)
    known, values = rng.normal(size=(20, 2)), rng.uniform(size=(20, 3))
    assert maps.back(known, known, values) == pytest.approx(values, abs=1e-5)
    between = maps.back(rng.normal(size=(9, 2)), known, values)
    assert between.min() >= values.min()
    assert between.max() <= values.max()


def test_two_of_three_rows_share_the_middle() -> None:
    known, values = np.array([[0.0, 0], [2, 0], [50, 0]]), np.array([[0.0], [1.0], [9.0]])
    assert maps.back(np.array([[1.0, 0]]), known, values)[0, 0] == pytest.approx(0.5)


def test_neighbours_that_agree_and_places_that_do_not() -> None:
    places = np.array([[0.0, 0], [0, 0.1], [5, 5], [5, 5.1]])
    assert maps.agreed(places, np.array([0, 0, 1, 1]), nearest=1) == 1.0
    assert maps.agreed(places, np.array([0, 1, 0, 1]), nearest=1) == 0.0
    classes, extent = np.array([[0, 1], [2, 3]]), np.array([0.0, 1, 0, 1])
    corners = np.array([[0.0, 0], [1, 0], [0, 1], [1, 1]])
    assert maps.fidelity(classes, extent, corners, np.array([0, 1, 2, 3])) == 1.0
    assert maps.fidelity(classes, extent, corners, np.array([0, 2, 1, 3])) == 0.5
