"""Planes by hand: where rows fall on them, and what fields of answers say."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdcore.comparison import plane as planes
from kdcore.errors import BadInput

HALVES = np.repeat([[0, 0, 0, 1, 1, 1]], 6, axis=0)  # the left half is class 0
EXTENT = np.array([0.0, 5.0, 0.0, 5.0])  # a grid of 6 points has steps of 1


@given(seed=st.integers(0, 1000), width=st.integers(2, 40))
def test_three_rows_lie_on_their_plane_and_keep_their_distances(seed: int, width: int) -> None:
    rows = np.random.default_rng(seed).normal(size=(3, width))
    laid = planes.through(*rows)
    places, apart = laid.places(rows)
    assert places == pytest.approx(laid.corners, abs=1e-6)
    assert apart == pytest.approx(np.zeros(3), abs=1e-5)
    assert laid.points(laid.corners) == pytest.approx(rows, abs=1e-8)
    assert laid.axes @ laid.axes.T == pytest.approx(np.eye(2), abs=1e-8)
    assert math.dist(*laid.corners[1:]) == pytest.approx(np.linalg.norm(rows[1] - rows[2]))


def test_a_row_beside_the_plane_is_as_far_from_it_as_it_stands_out() -> None:
    laid = planes.through(np.zeros(3), np.array([2.0, 0, 0]), np.array([1.0, 1, 0]))
    places, apart = laid.places(np.array([[1.0, 0.5, 3.0]]))
    assert places[0] == pytest.approx([1.0, 0.5])
    assert apart[0] == pytest.approx(3.0)
    assert laid.extent == pytest.approx([-0.4, 2.4, -0.9, 1.9])


def test_rows_on_one_line_have_no_plane() -> None:
    with pytest.raises(BadInput, match="one line"):
        planes.through(np.zeros(3), np.ones(3), 2 * np.ones(3))
    with pytest.raises(BadInput, match="one line"):
        planes.through(np.ones(3), np.ones(3), np.zeros(3))


def test_the_other_two_rows_are_the_nearest_that_say_something() -> None:
    far, labels = np.array([0.0, 1.0, 2.0, 3.0, 4.0]), np.array([0, 0, 1, 2, 3])
    assert [row for row, _ in planes.three_rows(far, 0, labels, answer=0)] == [0, 2, 3]
    assert planes.three_rows(far, 0, labels, answer=3)[2] == (4, "the nearest of the student's answer")
    assert planes.three_rows(far, 0, labels, answer=0, beside=1)[1] == (1, "pinned beside")
    assert planes.three_rows(far[:3], 0, labels[:3], answer=0)[2] == (1, "the nearest of the others")
    with pytest.raises(BadInput, match="fewer than three"):
        planes.three_rows(far[:2], 0, labels[:2], answer=0)


def test_a_checkerboard_falls_into_as_many_regions_as_it_has_squares() -> None:
    board = np.kron((np.add.outer(range(4), range(4)) % 2), np.ones((3, 3), dtype=int))
    assert planes.fragments(board) == 16
    assert planes.fragments(board, smallest=10) == 0
    assert planes.fragments(np.zeros((5, 5), dtype=int)) == 1


def test_regions_that_are_the_same_overlap_wholly() -> None:
    assert planes.overlap(HALVES, HALVES, 3) == pytest.approx([1.0, 1.0, np.nan], nan_ok=True)
    shifted = np.roll(HALVES, 1, axis=1)
    shifted[:, 0] = 0  # class 0 is 4 columns wide, 3 of them shared; class 1 is 2 of 3
    assert planes.overlap(HALVES, shifted, 2) == pytest.approx([3 / 4, 2 / 3])


@given(st.integers(0, 1000))
def test_overlap_is_symmetric_and_a_share(seed: int) -> None:
    one, other = np.random.default_rng(seed).integers(0, 3, (2, 5, 5))
    there, back = planes.overlap(one, other, 4), planes.overlap(other, one, 4)
    assert there == pytest.approx(back, nan_ok=True)
    assert np.nanmin(there) >= 0
    assert np.nanmax(there) <= 1


def test_the_margin_is_the_way_to_the_nearest_other_answer() -> None:
    places = np.array([[0.0, 0.0], [2.0, 2.0], [5.0, 3.0]])
    assert planes.margins(HALVES, EXTENT, places) == pytest.approx([3.0, 1.0, 3.0])
    assert np.isinf(planes.margins(np.zeros((6, 6), dtype=int), EXTENT, places)).all()


def test_measures_of_two_models_and_of_one() -> None:
    one = {"extent": EXTENT, "student_class": HALVES}
    two = one | {"teacher_class": np.zeros((6, 6), dtype=int)}
    rows, places = np.array([7]), np.array([[1.0, 1.0]])
    found = planes.measures(two, 2, rows, places)
    assert found.margin[0] == pytest.approx([np.inf, 2.0])
    assert found.fragments.tolist() == [1, 2]
    assert found.agreement == 0.5
    assert found.iou == pytest.approx([0.5, 0.0])
    alone = planes.measures(one, 2, rows, places)
    assert alone.fragments.tolist() == [2]
    assert math.isnan(alone.agreement)


def test_an_interval_by_hand() -> None:
    mean, low, high = planes.interval(np.array([1.0, 2.0, 3.0, np.nan]))  # t(0.975, 2) = 4.3027, sd 1
    assert (mean, low, high) == pytest.approx((2.0, 2 - 4.3027 / 3**0.5, 2 + 4.3027 / 3**0.5), abs=1e-3)
    assert math.isnan(planes.interval(np.array([0.5]))[1])


def test_classes_are_numbered_by_those_that_occur() -> None:
    shown, numbered = planes.compact({"student_class": np.array([[90, 3]])}, np.array([50]))
    assert shown.tolist() == [3, 50, 90]
    assert numbered["student_class"].tolist() == [[2, 0]]
    with pytest.raises(BadInput, match="257 classes"):
        planes.compact({"student_class": np.arange(257)}, np.arange(0))


def test_both_are_asked_about_each_place_once_and_in_order() -> None:
    def right(places: np.ndarray) -> np.ndarray:  # class 1 at x > 0
        return np.stack((-places[:, 0], places[:, 0]), axis=1) * 50

    found = planes.asked(np.array([-1.0, 1.0, -1.0, 1.0]), 4, right, lambda places: -right(places))
    assert found["student_class"].tolist() == [[0, 0, 1, 1]] * 4
    assert found["teacher_class"].tolist() == [[1, 1, 0, 0]] * 4
    assert (found["student_share"] == 255).all()
    assert (found["followed"] == 0).all()
    assert "teacher_class" not in planes.asked(EXTENT, 2, right, None)
