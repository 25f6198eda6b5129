"""Parts of the rows against counting by hand, and against loops."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from case_factory import case, random_case
from hypothesis import given
from hypothesis import strategies as st

from kdcore.comparison.agreement import answers, flow, partition, parts_over_time
from kdcore.comparison.case import PARTS, Rows
from kdcore.comparison.checkpoint_history import Trail


def rows(labels: list[int], student: list[int], teacher: list[int], classes: int = 3) -> Rows:
    """Rows whose answers are these."""
    eye = np.eye(classes, dtype=np.float32)
    index = np.arange(len(labels))
    return Rows(np.array(labels), eye[student], eye[teacher], index, index[:0])


def test_each_part_by_hand() -> None:
    found = partition(rows([0, 0, 0, 0, 0, 1], [0, 1, 0, 1, 2, 1], [0, 0, 1, 1, 1, 1]))
    assert dict(zip(PARTS, found.counts.tolist(), strict=True)) == {
        "both_right": 2,
        "teacher_only": 1,
        "student_only": 1,
        "wrong_same": 1,
        "wrong_differently": 1,
    }
    assert found.by_class[1].tolist() == [1, 0, 0, 0, 0]
    assert (found.teacher_accuracy, found.student_accuracy) == (pytest.approx(3 / 6), pytest.approx(3 / 6))
    assert found.agreement == pytest.approx(3 / 6)
    assert found.copied == pytest.approx(1 / 3)
    assert found.expected == pytest.approx(2 / 5)  # of the five rows of class 0 the student calls two class 1


@given(st.lists(st.tuples(st.integers(-1, 3), st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40))
def test_the_parts_add_up_to_the_rows_that_have_a_label(told: list[tuple[int, int, int]]) -> None:
    labels, student, teacher = (list(column) for column in zip(*told, strict=True))
    found = partition(rows(labels, student, teacher, classes=4))
    assert found.rows == sum(label >= 0 for label in labels)
    assert found.by_class.sum() == found.rows
    assert found.agreement == pytest.approx(np.mean(np.array(student) == np.array(teacher)))


def test_only_the_rows_that_are_meant_count() -> None:
    both = rows([0, 1, 2], [0, 1, 1], [0, 0, 2])
    found = partition(both, np.array([False, True, True]))
    assert found.counts.tolist() == [0, 1, 1, 0, 0]
    assert found.agreement == 0.0
    nobody = partition(both, np.zeros(3, dtype=bool))
    assert nobody.rows == 0
    assert np.isnan([nobody.agreement, nobody.copied, nobody.expected, nobody.teacher_accuracy]).all()


def test_habit_alone_explains_a_student_that_does_not_look_at_its_teacher() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 20_000)
    wrong = (labels + rng.choice([1, 2, 3, 4], len(labels), p=[0.7, 0.1, 0.1, 0.1])) % 5
    student = np.where(rng.random(len(labels)) < 0.6, labels, wrong)
    other = (labels + rng.choice([1, 2, 3, 4], len(labels), p=[0.7, 0.1, 0.1, 0.1])) % 5
    teacher = np.where(rng.random(len(labels)) < 0.8, labels, other)
    found = partition(rows(labels.tolist(), student.tolist(), teacher.tolist(), classes=5))
    assert found.copied == pytest.approx(found.expected, abs=0.02)
    copying = partition(rows(labels.tolist(), teacher.tolist(), teacher.tolist(), classes=5))
    assert copying.copied == 1.0 > copying.expected


def test_flow_counts_what_became_of_the_teachers_answers() -> None:
    both = rows([0, 0, 1, 2], [1, 1, 1, 0], [0, 0, 1, 2])
    found = flow(both)
    assert list(zip(found.teacher, found.student, found.count, strict=True)) == [(0, 1, 2), (2, 0, 1)]
    assert flow(both, most=1).rest == 1
    assert answers(both).tolist() == [[0, 2, 0], [0, 1, 0], [1, 0, 0]]


def test_rows_without_a_finite_answer_are_in_no_flow(tmp_path: Path) -> None:
    broken = np.full((2, 3), np.nan)
    found = case(tmp_path, np.array([0, 1]), broken, np.eye(3)[:2]).rows
    assert flow(found).count.sum() == 0
    assert partition(found).counts.tolist() == [0, 2, 0, 0, 0]


def test_a_case_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    found = random_case(tmp_path)
    assert len(found.rows) == 200
    assert found.pictures is not None
    assert np.allclose(found.columns["brightness"], np.asarray(found.pictures).mean((1, 2, 3)) / 255)
    assert np.allclose(np.exp(found.rows.log_q).sum(1), 1)
    assert found.rows.columns["student margin"].min() >= 0


def test_over_time_each_frame_is_counted_as_a_case_of_its_own() -> None:
    eye = np.eye(3, dtype=np.float32)
    labels, teacher = np.array([0, 1, 2, 2]), np.array([0, 1, 2, 1])
    frames = [[0, 0, 0, 0], [0, 1, 0, 1], [0, 1, 2, 2]]
    seen = Trail(np.array([0, 5, 9]), np.arange(4), labels, eye[teacher], eye[np.array(frames)], 3)
    found = parts_over_time(seen)
    assert found.shares.tolist() == [[0.25, 0.5, 0, 0, 0.25], [0.5, 0.25, 0, 0.25, 0], [0.75, 0, 0.25, 0, 0]]
    assert found.agreement.tolist() == [0.25, 0.75, 0.75]
