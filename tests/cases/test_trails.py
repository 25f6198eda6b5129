"""Ways of rows through the logits, on frames made by hand."""

from pathlib import Path

import case_factory
import numpy as np
import pytest

from kdcore.comparison import logit_trajectories as ways
from kdcore.comparison.case import Rows
from kdcore.comparison.checkpoint_history import Trail


@pytest.fixture
def rows(tmp_path: Path) -> Rows:
    return case_factory.random_case(tmp_path, rows=10, classes=3).rows


def frames(rows: Rows, probe: list[int]) -> Trail:
    """A student that goes a straight way from nothing to its answers, in three steps."""
    assert rows.teacher is not None
    last = rows.student[probe]
    student = np.stack([0 * last, last / 2, last])
    return Trail(np.array([0, 5, 10]), rows.index[probe], rows.labels[probe], rows.teacher[probe], student, 3)


def test_a_straight_way_stays_straight_and_ends_at_the_student(rows: Rows) -> None:
    probe = [7, 2, 5]
    found = ways.trails(frames(rows, probe), rows, True, np.ones(3, dtype=bool), ())
    assert set(found.rows) == set(probe)
    first, middle, last = found.places.transpose(1, 0, 2)
    assert middle == pytest.approx((first + last) / 2)
    assert last == pytest.approx(found.ends[found.probe])


def test_a_constant_added_to_all_logits_changes_nothing(rows: Rows) -> None:
    seen = frames(rows, [1, 2, 3, 4])
    moved = Trail(seen.steps, seen.index, seen.labels, seen.teacher, seen.student + 7, 3)
    all_of_them = np.ones(4, dtype=bool)
    one, other = (ways.trails(each, rows, True, all_of_them, ()) for each in (seen, moved))
    assert one.places == pytest.approx(other.places, abs=1e-4)


def test_pinned_rows_come_first_and_the_rest_by_kl(rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ways, "DRAWN", 3)
    found = ways.trails(frames(rows, list(range(10))), rows, True, np.ones(10, dtype=bool), (6,))
    others = [row for row in np.argsort(-rows.kl) if row != 6]
    assert found.rows.tolist() == [6, *others[:2]]
    assert found.hidden == 7


def test_without_a_selection_those_that_end_apart_are_meant(rows: Rows) -> None:
    found = ways.trails(frames(rows, list(range(10))), rows, True, None, ())
    assert sorted(found.rows) == np.flatnonzero(rows.student_top != rows.teacher_top).tolist()


def test_rows_of_another_split_have_no_number_here(rows: Rows) -> None:
    found = ways.trails(frames(rows, [0, 1]), rows, False, np.ones(2, dtype=bool), (0,))
    assert found.rows.tolist() == [-1, -1]


def test_a_student_without_a_teacher_goes_in_its_own_plane(rows: Rows) -> None:
    seen = frames(rows, [0, 1, 2])
    alone = Trail(seen.steps, seen.index, seen.labels, None, seen.student, 3)
    found = ways.trails(alone, rows, True, np.ones(3, dtype=bool), ())
    assert found.goals is None
    assert found.places[:, -1].mean(0) == pytest.approx(found.ends.mean(0))
