"""Calibration over training: each step is what the same scores say of that frame."""

import numpy as np
import pytest

from kdcore.comparison.calibration import forecast
from kdcore.comparison.calibration_inheritance import heritage
from kdcore.comparison.calibration_path import BINS, course, play
from kdcore.comparison.checkpoint_history import Trail
from kdcore.probes._bins import binned, equal_width
from kdcore.probes._numerics import log_softmax


def followed(teacher: bool = True, rows: int = 300, classes: int = 6) -> Trail:
    rng = np.random.default_rng(0)
    labels = np.where(rng.random(rows) < 0.1, -1, rng.integers(classes, size=rows))
    logits = rng.normal(size=(3, rows, classes)) + np.arange(3)[:, None, None] * np.eye(classes)[labels]
    theirs = rng.normal(size=(rows, classes)) + 2 * np.eye(classes)[labels]
    return Trail(np.array([0, 5, 9]), np.arange(rows), labels, theirs if teacher else None, logits, 3)


def test_each_step_is_scored_as_its_answers_are() -> None:
    seen = followed()
    found, shown = course(seen), play(seen)
    taught = forecast(log_softmax(seen.teacher), seen.labels)
    for place in range(3):
        one = forecast(log_softmax(seen.student[place]), seen.labels)
        assert found.ece[place] == pytest.approx(binned(one.sure, one.right, equal_width(BINS)).ece)
        assert found.nll[place] == pytest.approx(-one.log_q[np.arange(len(one)), one.labels].mean())
        assert found.confidence[place] == pytest.approx(one.sure.mean())
        assert found.accuracy[place] == one.right.mean()
        assert found.inherited[place, 0] == pytest.approx(heritage(taught, one).correlation)
        assert shown.student[place].count.sum() == len(one) == found.rows
    assert found.teacher_nll == pytest.approx(-taught.log_q[np.arange(len(taught)), taught.labels].mean())


def test_a_selection_counts_its_rows_alone_and_none_is_no_number() -> None:
    seen = followed()
    meant = np.arange(300) < 50
    assert course(seen, meant).rows == int((seen.labels[:50] >= 0).sum())
    nothing = course(seen, np.zeros(300, dtype=bool))
    assert nothing.rows == 0
    assert np.isnan(nothing.ece).all()
    assert np.isnan(nothing.inherited).all()


def test_without_a_teacher_only_the_student_is_followed() -> None:
    found = course(followed(teacher=False))
    assert np.isnan(found.teacher_ece)
    assert np.isnan(found.inherited).all()
    assert np.isfinite(found.ece).all()
    assert play(followed(teacher=False)).teacher is None


def test_a_frame_without_finite_answers_is_wrong_everywhere_and_sure_of_nothing() -> None:
    seen = followed()
    seen.student[1] = np.nan
    found = course(seen)
    assert found.accuracy[1] <= found.accuracy[2]
    assert found.confidence[1] == 0
    assert found.nll[1] == np.inf
