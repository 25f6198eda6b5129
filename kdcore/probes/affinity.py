"""Which classes each network takes for kin."""

from dataclasses import dataclass

import numpy as np

from kdcore.probes._numerics import Floats, softmax
from kdcore.probes._rows import class_names, labels, student_logits, teacher_logits
from kdcore.runs.record import Record

FEWEST = 6  # cells that a correlation is taken over: three classes


@dataclass(frozen=True)
class Affinity:
    """Rows are true classes, columns classes answered, (C, C); NaN where a class has no row."""

    classes: tuple[str, ...]
    temperature: float
    teacher: Floats  # mean softened probability
    student: Floats
    difference: Floats  # student's minus teacher's
    kin: float  # largest value off the diagonal of either; 1 when there is none
    largest: float  # largest absolute difference; 1 when there is none
    correlation: float  # of both networks off the diagonal; NaN with two classes, or where one of them is constant


def affinity(record: Record, temperature: float) -> Affinity:
    """Mean softened output per true class: the mass off the diagonal is the class similarity the teacher passes on."""
    truth, student, teachers = labels(record), student_logits(record), teacher_logits(record)
    assert teachers is not None
    return compared(class_names(record, student.shape[1]), teachers, student, truth, temperature)


def compared(
    classes: tuple[str, ...], teacher: np.ndarray, student: np.ndarray, truth: np.ndarray, temperature: float
) -> Affinity:
    """Both networks' kinship of classes, from logits (N, C) of rows that all have a label."""
    theirs, ours = (kinship(logits, truth, temperature) for logits in (teacher, student))
    off = ~np.eye(len(ours), dtype=bool)
    return Affinity(
        classes=classes,
        temperature=temperature,
        teacher=theirs,
        student=ours,
        difference=ours - theirs,
        kin=largest(np.stack([theirs, ours])[:, off]),
        largest=largest(np.abs(ours - theirs)),
        correlation=_correlation(theirs[off], ours[off]),
    )


def kinship(logits: np.ndarray, truth: np.ndarray, temperature: float) -> Floats:
    """Mean over the rows of each true class of the softened probabilities of logits (N, C): (C, C)."""
    rows = np.bincount(truth, minlength=logits.shape[1])
    with np.errstate(invalid="ignore"):
        return np.asarray(by_class(softmax(logits, temperature), truth) / rows[:, None])


def by_class(values: Floats, truth: np.ndarray) -> Floats:
    """Sums over the rows of each true class of values (N, C): (C, C)."""
    rows = np.bincount(truth, minlength=values.shape[1])
    sums, known = np.zeros((len(rows), values.shape[1])), rows > 0
    if len(truth):
        ordered = values[np.argsort(truth, kind="stable")]
        sums[known] = np.add.reduceat(ordered, (np.cumsum(rows) - rows)[known])
    return sums


def largest(values: Floats) -> float:
    """The largest of those values that are numbers; 1 where none is above 0."""
    known = values[np.isfinite(values)]
    return float(known.max()) if known.size and known.max() > 0 else 1.0


def _correlation(left: Floats, right: Floats) -> float:
    known = np.isfinite(left) & np.isfinite(right)
    left, right = left[known], right[known]
    if left.size < FEWEST or np.ptp(left) == 0 or np.ptp(right) == 0:
        return float("nan")
    return float(np.corrcoef(left, right)[0, 1])
