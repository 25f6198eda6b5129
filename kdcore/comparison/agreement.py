"""Where student and teacher part: each row falls into one of five parts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kdcore.comparison.case import PARTS, Rows
from kdcore.comparison.checkpoint_history import Trail
from kdcore.comparison.selection import Bools
from kdcore.probes._errors import repeated_by_chance
from kdcore.probes._numerics import Floats, Ints


@dataclass(frozen=True)
class Partition:
    """Counts of rows by part, in the order of PARTS; they add up to the rows that have a label."""

    counts: Ints  # (5,)
    by_class: Ints  # (C, 5) of each true class
    agreed: int  # rows with the same answer, of ...
    asked: int  # ... all that count, with a label or without
    expected: float  # share of the teacher's errors that the student would repeat by its own habit; NaN without errors

    @property
    def rows(self) -> int:
        """Rows with a label."""
        return int(self.counts.sum())

    @property
    def teacher_right(self) -> int:
        """Rows where the teacher is right."""
        return int(self.counts[:2].sum())

    @property
    def student_right(self) -> int:
        """Rows where the student is right."""
        return int(self.counts[[0, 2]].sum())

    @property
    def teacher_errors(self) -> int:
        """Rows where the teacher is wrong."""
        return self.rows - self.teacher_right

    @property
    def repeated(self) -> int:
        """Rows where the student gives the teacher's wrong answer."""
        return int(self.counts[3])

    @property
    def agreement(self) -> float:
        """Fraction of rows with the same answer; NaN without rows."""
        return self.agreed / self.asked if self.asked else float("nan")

    @property
    def copied(self) -> float:
        """Fraction of the teacher's errors that the student repeats; NaN where it makes none."""
        return self.repeated / self.teacher_errors if self.teacher_errors else float("nan")

    @property
    def teacher_accuracy(self) -> float:
        """Fraction of rows where the teacher is right; NaN where no row has a label."""
        return self.teacher_right / self.rows if self.rows else float("nan")

    @property
    def student_accuracy(self) -> float:
        """The same of the student."""
        return self.student_right / self.rows if self.rows else float("nan")


def partition(rows: Rows, meant: Bools | None = None) -> Partition:
    """Each sample is in one group; a student that copies its teacher's mistakes has many that are wrong the same way.

    Args:
        rows: both models' answers; there must be a teacher.
        meant: (N,) the rows that count; all when None.

    Source: Stanton et al., Does Knowledge Distillation Really Work?, NeurIPS 2021 (agreement).
    """
    here = rows.part >= 0 if meant is None else (rows.part >= 0) & meant
    parts, truth = rows.part[here], rows.labels[here]
    classes, kinds = rows.student.shape[1], len(PARTS)
    by_class = np.bincount(truth * kinds + parts, minlength=classes * kinds).reshape(classes, kinds)
    same = rows.student_top == rows.teacher_top
    meant_rows = np.ones(len(rows), dtype=bool) if meant is None else meant
    erring = here & (rows.teacher_top != rows.labels)
    return Partition(
        counts=by_class.sum(0),
        by_class=by_class,
        agreed=int(same[meant_rows].sum()),
        asked=int(meant_rows.sum()),
        expected=repeated_by_chance(rows.labels, rows.student_top, rows.teacher_top, classes, erring),
    )


@dataclass(frozen=True)
class Flow:
    """From the teacher's answer to the student's, where they differ: the pairs with most rows."""

    teacher: Ints  # (P,) classes
    student: Ints  # (P,)
    count: Ints  # (P,) rows, descending
    rest: int  # rows of the other pairs


def flow(rows: Rows, meant: Bools | None = None, most: int = 24) -> Flow:
    """Where the predictions differ: which class of the teacher's became which of the student's."""
    differs = rows.student_top != rows.teacher_top
    differs &= True if meant is None else meant
    classes = rows.student.shape[1]
    known = differs & (rows.teacher_top >= 0) & (rows.student_top >= 0)
    counts = np.bincount(rows.teacher_top[known] * classes + rows.student_top[known], minlength=classes**2)
    order = np.argsort(-counts, kind="stable")[:most]
    order = order[counts[order] > 0]
    return Flow(order // classes, order % classes, counts[order], int(counts.sum() - counts[order].sum()))


def answers(rows: Rows, meant: Bools | None = None) -> Ints:
    """(C, C) rows by the teacher's answer and the student's."""
    known = (rows.teacher_top >= 0) & (rows.student_top >= 0)
    known &= True if meant is None else meant
    classes = rows.student.shape[1]
    return np.bincount(rows.teacher_top[known] * classes + rows.student_top[known], minlength=classes**2).reshape(
        classes, classes
    )


@dataclass(frozen=True)
class PartsOverTime:
    """The five parts of the run's probe rows at its recorded frames."""

    steps: Ints  # (T,)
    shares: Floats  # (T, 5) of the rows, in the order of PARTS
    agreement: Floats  # (T,) fraction with the same answer
    rows: int


def parts_over_time(seen: Trail) -> PartsOverTime:
    """How the probe samples moved between groups during training. Dotted: the share on which both agree.

    Taken at the frames that its run kept. The teacher does not change.
    """
    assert seen.teacher is not None
    found = []
    for logits in seen.student:
        at = Rows(seen.labels, logits, seen.teacher, seen.index, seen.index[:0])
        found.append(
            (np.bincount(at.part[at.part >= 0], minlength=len(PARTS)), (at.student_top == at.teacher_top).mean())
        )
    counts = np.array([count for count, _ in found], dtype=np.float64)
    rows = int(counts[0].sum())
    return PartsOverTime(seen.steps, counts / max(rows, 1), np.array([same for _, same in found]), rows)
