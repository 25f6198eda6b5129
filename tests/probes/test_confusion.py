"""Confusion against scikit-learn."""

from dataclasses import replace

import numpy as np
import pytest
from record_factory import Run, record
from sklearn.metrics import confusion_matrix

from kdcore.probes.confusion import confusion, counts


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_counts_agree_with_scikit_learn(classes: int) -> None:
    seen = record(Run(classes=classes, rows=300))
    truth, answer = seen.static["probe_labels"], seen.frame["student_logits"].argmax(1)
    assert np.array_equal(confusion(seen).student, confusion_matrix(truth, answer, labels=range(classes)))


def test_difference_by_hand() -> None:
    seen = record(Run(classes=2))
    one, two = [9.0, 0.0], [0.0, 9.0]
    static = {"probe_labels": np.array([0, 0, 1, 1]), "teacher_logits": np.array([one, one, two, one])}
    found = confusion(replace(seen, static=static, frame={"student_logits": np.array([one, two, two, two])}))
    assert found.difference.tolist() == [[-0.5, 0.5], [-0.5, 0.5]]
    assert found.largest == 0.5
    assert found.classes == ("class 0", "class 1")


def test_a_class_without_rows_has_no_share() -> None:
    seen = record(Run(classes=5, rows=1))
    found = confusion(seen)
    absent = np.arange(5) != seen.static["probe_labels"][0]
    assert np.isnan(found.difference[absent]).all()


def test_each_row_of_the_difference_adds_up_to_nothing() -> None:
    assert confusion(record(Run(rows=200))).difference.sum(1) == pytest.approx(0.0)


def test_rows_without_an_answer_are_left_out() -> None:
    assert counts(np.array([[np.nan, 1.0], [0.0, 1.0]]), np.array([0, 1])).tolist() == [[0, 0], [0, 1]]
