"""Class similarity over the samples of a case: by hand, and the same as a run's panel but for the diagonal."""

from pathlib import Path

import numpy as np
import pytest
from case_factory import random_case

from kdcore.comparison.affinity import affinity
from kdcore.comparison.case import Rows
from kdcore.probes.affinity import kinship


def test_kinship_by_hand() -> None:
    teacher = np.log([[0.5, 0.3, 0.2], [0.1, 0.7, 0.2], [0.3, 0.5, 0.2]])
    student = np.log([[0.6, 0.3, 0.1], [0.1, 0.7, 0.2], [0.1, 0.7, 0.2]])
    rows = Rows(np.array([0, 1, 1]), student, teacher, np.arange(3), np.arange(0))
    found = affinity(rows, ("a", "b", "c"), 1.0)
    nan = float("nan")
    assert found.teacher == pytest.approx(np.array([[nan, 0.3, 0.2], [0.2, nan, 0.2], [nan] * 3]), nan_ok=True)
    assert found.difference[0] == pytest.approx([nan, 0.0, -0.1], nan_ok=True)
    assert found.largest == pytest.approx(0.1)
    assert found.kin == pytest.approx(0.3)


def test_rows_of_a_selection_and_rows_without_a_label(tmp_path: Path) -> None:
    case = random_case(tmp_path)
    meant = np.arange(200) % 2 == 0
    rows = Rows(
        np.where(meant, case.rows.labels, -1), case.rows.student, case.rows.teacher, case.rows.index, case.rows.probe
    )
    names = tuple("abcd")
    by_selection, by_label = affinity(case.rows, names, 3.0, meant), affinity(rows, names, 3.0)
    assert np.array_equal(by_selection.student, by_label.student, equal_nan=True)
    whole = kinship(case.rows.student[meant], case.rows.labels[meant], 3.0)
    off = ~np.eye(4, dtype=bool)
    assert by_selection.student[off] == pytest.approx(whole[off])
    assert np.isnan(np.diag(by_selection.student)).all()
