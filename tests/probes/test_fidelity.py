"""The partition of the probe rows, by hand and by its laws."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from record_factory import Run, record

from kdcore.probes.fidelity import fidelity


def test_one_row_of_each_part() -> None:
    def saying(*classes: int) -> np.ndarray:
        return np.eye(3)[list(classes)] * 5

    static = {"probe_labels": np.zeros(5, dtype=int), "teacher_logits": saying(0, 0, 1, 1, 1)}
    found = fidelity(replace(record(), static=static, frame={"student_logits": saying(0, 2, 0, 1, 2)}))
    assert list(found.parts.values()) == [1, 1, 1, 1, 1]
    assert (found.agreement, found.agreed, found.teacher_errors, found.both_wrong_same) == (0.4, 2, 3, 1)
    assert found.expected == pytest.approx(1 / 5)  # of five rows of class 0 the student calls one class 1


@given(st.integers(1, 50), st.integers(2, 30), st.integers(0, 99))
def test_the_parts_add_up(rows: int, classes: int, seed: int) -> None:
    found = fidelity(record(Run(classes=classes, rows=rows, seed=seed)))
    assert sum(found.parts.values()) == found.rows == rows
    assert sum(found.shares.values()) == pytest.approx(1.0)
    assert found.agreement == pytest.approx((found.both_right + found.both_wrong_same) / rows)
    assert found.kl_nats >= 0


def test_a_student_that_is_its_teacher_agrees_with_it() -> None:
    seen = record()
    found = fidelity(replace(seen, frame={"student_logits": seen.static["teacher_logits"]}))
    assert (found.agreement, found.kl_nats) == (1.0, 0.0)


def test_a_student_without_an_answer_is_wrong() -> None:
    seen = record()
    lost = np.full_like(seen.frame["student_logits"], np.nan)
    found = fidelity(replace(seen, frame={"student_logits": lost}))
    assert found.both_right == found.student_only == found.both_wrong_same == 0
    assert np.isnan(found.kl_nats)
