"""Confusions of both networks and their course over the student's frames, worked by hand."""

from pathlib import Path

import numpy as np
import pytest
from case_factory import case
from hypothesis import given
from hypothesis import strategies as st

from kdcore.comparison.case import Rows
from kdcore.comparison.checkpoint_history import Trail
from kdcore.comparison.confusions import at_step, confusions, course, on_probe

NONE = np.arange(0)


def said(*answers: int, classes: int = 3) -> np.ndarray:
    """Logits (N, C) of these answers."""
    return 5.0 * np.eye(classes)[list(answers)]


def rows(labels: list[int], student: np.ndarray, teacher: np.ndarray | None = None) -> Rows:
    return Rows(np.array(labels), student, teacher, np.arange(len(labels)), NONE)


def trail(labels: list[int], *frames: np.ndarray, teacher: np.ndarray | None = None) -> Trail:
    steps = np.array([10 * place for place in range(len(frames))])
    return Trail(steps, np.arange(len(labels)), np.array(labels), teacher, np.stack(frames), len(frames))


def test_counts_by_hand() -> None:
    found = confusions(rows([0, 0, 1, -1], said(0, 1, 1, 2), said(0, 0, 2, 2)))
    assert found.student.tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 0]]
    assert found.teacher is not None
    assert found.teacher.tolist() == [[2, 0, 0], [0, 0, 1], [0, 0, 0]]
    assert found.rows == 3
    assert found.shares(found.student)[0].tolist() == [0.5, 0.5, 0.0]
    assert np.isnan(found.shares(found.student)[2]).all()


@given(st.integers(0, 10_000), st.integers(1, 60), st.integers(2, 7))
def test_a_part_and_its_rest_add_up_to_all(seed: int, count: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    one = rows(
        rng.integers(-1, classes, count).tolist(), rng.normal(size=(count, classes)), rng.normal(size=(count, classes))
    )
    part = rng.random(count) < 0.5
    whole, first, rest = confusions(one), confusions(one, part), confusions(one, ~part)
    assert (whole.student == first.student + rest.student).all()
    assert whole.student.sum() == whole.rows == (one.labels >= 0).sum()


def test_a_selection_of_the_case_is_carried_to_the_probe_rows() -> None:
    one = Rows(np.zeros(4, int), said(0, 0, 0, 0), None, np.arange(4), np.array([3, 1]))
    frames = trail([0, 0], said(0, 1))
    meant = np.array([False, False, False, True])
    found = on_probe(one, frames, meant)
    assert found is not None
    assert found.tolist() == [True, False]
    assert on_probe(one, frames, None) is None
    assert on_probe(rows([0], said(0)), frames, np.array([True])) is None


def test_the_frame_before_a_step_is_shown() -> None:
    frames = trail([0, 1], said(1, 1), said(0, 1))
    assert [at_step(frames, step).step for step in (0, 9, 10, 99)] == [0, 0, 10, 10]
    assert at_step(frames, 3).student.tolist() == [[0, 1, 0], [0, 1, 0], [0, 0, 0]]


def test_a_course_by_hand() -> None:
    frames = trail([0, 0, 1], said(1, 1, 2), said(0, 1, 1), said(0, 0, 1), teacher=said(0, 1, 1))
    found = course(frames)
    assert list(zip(found.true.tolist(), found.answer.tolist(), strict=True)) == [(0, 1), (1, 2)]
    assert found.student.tolist() == [[1.0, 0.5, 0.0], [1.0, 0.0, 0.0]]
    assert found.teacher is not None
    assert found.teacher.tolist() == [0.5, 0.0]
    assert found.rows.tolist() == [2, 1]
    assert (found.probe, found.others) == (3, 0)


def test_pairs_that_are_left_out_are_counted() -> None:
    found = course(trail([0, 0, 1], said(1, 2, 2)), most=1)
    assert (len(found.true), found.others) == (1, 2)
    nothing = course(trail([0], said(0)))
    assert nothing.student.shape == (0, 1)


def test_a_selection_leaves_the_other_probe_rows_out() -> None:
    found = course(trail([0, 0], said(1, 2)), np.array([True, False]))
    assert found.answer.tolist() == [1]
    assert found.student == pytest.approx(np.array([[1.0]]))


def test_without_a_teacher(tmp_path: Path) -> None:
    assert confusions(case(tmp_path, np.array([0, 1]), said(0, 1)).rows).teacher is None
