"""What more steps did, by hand."""

from pathlib import Path

import numpy as np
import pytest
from case_factory import case

from kdcore.comparison.training_effect import effects


def answers(*classes: int) -> np.ndarray:
    return np.eye(2)[list(classes)]


def test_effects_by_hand(tmp_path: Path) -> None:
    made = case(tmp_path, np.array([0, 0, 1, 1, -1]), answers(1, 0, 1, 1, 0), answers(0, 0, 1, 0, 0))
    meant = np.array([True, False, False, False, True])
    slice_, rest, zeros, ones = effects(made.rows, answers(0, 0, 0, 1, 1), meant, ("zero", "one"))
    assert (slice_.name, slice_.rows, slice_.before, slice_.after) == ("the slice", 1, 0.0, 1.0)
    assert (slice_.gained, slice_.lost) == (1, 0)
    assert (rest.rows, rest.before, rest.after, rest.gained, rest.lost) == (3, 1.0, pytest.approx(2 / 3), 0, 1)
    assert (rest.agreed_before, rest.agreed_after) == (pytest.approx(2 / 3), pytest.approx(1 / 3))
    assert (zeros.name, zeros.rows, ones.rows) == ("elsewhere, zero", 1, 2)


def test_nothing_is_told_of_no_rows_and_no_teacher(tmp_path: Path) -> None:
    made = case(tmp_path, np.array([0, -1]), answers(0, 1))
    found = effects(made.rows, answers(0, 1), np.array([False, True]), ("zero", "one"))
    assert [one.name for one in found] == ["elsewhere", "elsewhere, zero"]
    assert np.isnan(found[0].agreed_before)
