"""Triangles, barriers, knowledge points and intervals: by hand, and by independent references."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax as reference_softmax
from scipy.stats import binomtest

from kdcore.comparison.augment import share
from kdcore.comparison.case import Rows
from kdcore.comparison.intervals import of_mean, wilson
from kdcore.comparison.knowledge import counted, learned
from kdcore.comparison.triangle import CORNERS, SHOWN, among, triangle
from kdcore.comparison.weight_interpolation import barrier


def rows(labels: np.ndarray, student: np.ndarray, teacher: np.ndarray | None = None) -> Rows:
    return Rows(labels, student, teacher, np.arange(len(labels)), np.arange(0))


# The triangle


@given(st.integers(0, 1000), st.floats(0.2, 20))
def test_shares_among_three_are_those_of_all_classes_put_in_proportion(seed: int, temperature: float) -> None:
    logits = np.random.default_rng(seed).normal(size=(20, 6)) * 3
    whole = reference_softmax(logits / temperature, axis=1)[:, [4, 0, 2]]
    assert among(logits, (4, 0, 2), temperature) == pytest.approx(whole / whole.sum(1, keepdims=True))


def test_corners_and_the_middle_lie_where_they_should() -> None:
    found = triangle(rows(np.array([0, 1, 2]), 50 * np.eye(3)), 1.0)
    plane = found.plane(np.vstack([np.eye(3), np.full((1, 3), 1 / 3)]))
    assert plane[:3] == pytest.approx(CORNERS)
    assert plane[3] == pytest.approx([0.5, np.sqrt(3) / 6])
    sides = np.linalg.norm(CORNERS - np.roll(CORNERS, 1, axis=0), axis=1)
    assert sides == pytest.approx([1, 1, 1])


def test_the_most_confused_classes_are_chosen_and_named_ones_come_first() -> None:
    logits = np.zeros((3, 5))
    logits[0, 3] = logits[0, 1] = 9  # a row of class 1 that might be 3
    logits[1, 4] = 9
    logits[2, [0, 3]] = 7, 6  # one of class 0 that leans to 3
    one = rows(np.array([1, 4, 0]), logits, logits)
    assert set(triangle(one, 1.0).classes) == {1, 3, 0}
    assert triangle(one, 1.0, classes=(4,)).classes[0] == 4
    assert triangle(one, 1.0, classes=(2, 0, 4, 1)).classes == (2, 0, 4)
    assert triangle(one, 1.0, classes=(77,)).classes == triangle(one, 1.0).classes


def test_rows_are_thinned_and_pinned_ones_stay() -> None:
    labels = np.arange(2000) % 3
    one = rows(labels, np.random.default_rng(0).normal(size=(2000, 3)))
    found = triangle(one, 1.0, pinned=(1234, 99_999))
    assert found.of == 2000
    assert SHOWN <= len(found.rows) <= SHOWN + 1
    assert 1234 in found.rows
    assert found.mass == pytest.approx(1.0)
    assert triangle(one, 1.0, labels == 1).of == int((labels == 1).sum())


def test_nothing_selected_is_an_empty_triangle() -> None:
    found = triangle(rows(np.array([-1, -1]), np.zeros((2, 4))), 1.0)
    assert len(found.rows) == 0
    assert np.isnan(found.mass)


# The line


def test_a_barrier_by_hand() -> None:
    share = np.array([0.0, 0.5, 1.0])
    assert barrier(share, np.array([1.0, 5.0, 3.0])) == pytest.approx(3.0)
    assert barrier(share, np.array([1.0, 0.5, 3.0])) == 0.0
    assert barrier(np.linspace(0, 1, 21), np.linspace(2, 7, 21)) == pytest.approx(0.0, abs=1e-12)


@given(st.lists(st.floats(0, 50), min_size=2, max_size=30), st.floats(-5, 5), st.floats(-5, 5))
def test_a_barrier_is_not_negative_and_a_slope_changes_none(loss: list[float], level: float, slope: float) -> None:
    share = np.linspace(0, 1, len(loss))
    found = barrier(share, np.array(loss))
    assert found >= 0
    assert barrier(share, np.array(loss) + level + slope * share) == pytest.approx(found, abs=1e-9)


# Knowledge points

MASK = np.array([[[True, True], [False, False]]])


def test_points_by_hand() -> None:
    entropy = np.array([[[0.0, 0.9], [1.0, 1.0]]])  # the background's mean is 1
    found = counted(entropy, MASK)
    assert found.points.tolist() == [[[True, False], [False, False]]]
    assert (found.inside.tolist(), found.outside.tolist(), found.share.tolist()) == ([1], [0], [1.0])


def test_without_background_the_image_s_own_mean_counts_and_without_points_there_is_no_share() -> None:
    whole = np.ones((1, 2, 2), dtype=bool)
    assert counted(np.array([[[0.0, 1.0], [1.0, 2.0]]]), whole).inside.tolist() == [1]
    assert np.isnan(counted(np.zeros((1, 2, 2)), MASK).share).all()


@given(st.integers(0, 1000), st.floats(-3, 3))
def test_a_level_of_entropy_changes_no_point(seed: int, level: float) -> None:
    entropy = np.random.default_rng(seed).normal(size=(3, 4, 4)).round(3)
    mask = np.random.default_rng(seed + 1).random((3, 4, 4)) < 0.5
    first, second = counted(entropy, mask), counted(entropy + level, mask, clearer=0.2 + 1e-9)
    assert (second.points <= first.points).all() or np.array_equal(first.points, second.points)
    assert (first.inside + first.outside == first.points.sum((1, 2))).all()


def test_a_course_by_hand() -> None:
    none, left, both = np.ones((2, 2)), np.array([[0.0, 1.0], [1, 1]]), np.array([[0.0, 0.0], [1, 1]])
    right = np.array([[1.0, 0.0], [1, 1]])
    course = np.array([[none, none], [left, both], [right, both]])
    found = learned(course, np.repeat(MASK, 2, axis=0), np.array([1, 2, 3]), np.array([0.5, 0.75, 1.0]))
    assert found.inside.tolist() == [0.0, 1.5, 1.5]
    assert found.distance == pytest.approx(0.75)
    assert found.spread == pytest.approx(0.0)
    assert found.stability == pytest.approx((1 / 2 + 2 / 2) / 2)


# Intervals


@given(st.integers(1, 400), st.data())
def test_wilson_is_that_of_scipy(count: int, data: st.DataObject) -> None:
    right = data.draw(st.integers(0, count))
    expected = binomtest(right, count).proportion_ci(method="wilson")
    low, high = wilson(np.array([right]), np.array([count]))
    assert (low[0], high[0]) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_intervals_at_the_edges() -> None:
    assert [one.tolist() for one in wilson(np.array([0]), np.array([0]))] == [[0.0], [1.0]]
    low, high = of_mean(np.array([[1.0, 3.0]]))
    assert (low[0], high[0]) == pytest.approx((2 - 12.7062, 2 + 12.7062), abs=1e-4)  # t of one degree of freedom
    assert np.isnan(of_mean(np.array([[4.0]]))).all()


def test_shares_by_hand() -> None:
    found = share(np.array([[True, False], [True, True]]))
    assert found.value.tolist() == [0.5, 1.0]
    assert (found.low < found.value).all()
    assert (found.high >= found.value).all()
