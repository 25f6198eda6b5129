"""Which classes the student confuses more, or less, than its teacher."""

from dataclasses import dataclass

import numpy as np

from kdcore.probes._numerics import Floats, Ints, top_class
from kdcore.probes._rows import class_names, labels, student_logits, teacher_logits
from kdcore.runs.record import Record


@dataclass(frozen=True)
class Confusion:
    """Rows are true classes, columns answers, both (C, C)."""

    classes: tuple[str, ...]
    student: Ints  # int64, probe rows
    teacher: Ints
    difference: Floats  # student's minus teacher's fraction of each true class; NaN where the class has no row
    largest: float  # largest absolute difference


def confusion(record: Record) -> Confusion:
    """Rows are true classes, columns predictions: student-coloured cells are more frequent in the student."""
    truth, student = labels(record), student_logits(record)
    teacher = teacher_logits(record)
    assert teacher is not None
    classes = student.shape[1]
    ours, theirs = counts(student, truth), counts(teacher, truth)
    rows = np.bincount(truth, minlength=classes)[:, None]
    with np.errstate(invalid="ignore"):
        difference = (ours - theirs) / rows
    return Confusion(
        classes=class_names(record, classes),
        student=ours,
        teacher=theirs,
        difference=difference,
        largest=float(np.nanmax(np.abs(difference))),
    )


def counts(logits: np.ndarray, truth: np.ndarray) -> Ints:
    """How often each true class got each answer, (C, C) int64; rows without a finite answer are left out."""
    classes, answer = logits.shape[1], top_class(logits)
    known = answer >= 0
    return np.bincount(truth[known] * classes + answer[known], minlength=classes**2).reshape(classes, classes)
