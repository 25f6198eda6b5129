"""What both networks take for what: over the rows of a case now, and on the probe rows while the student learned."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kdcore.comparison.case import Rows
from kdcore.comparison.checkpoint_history import Trail
from kdcore.comparison.selection import Bools
from kdcore.probes._numerics import Floats, Ints
from kdcore.probes.confusion import counts

PAIRS = 16  # class pairs that are followed over time


@dataclass(frozen=True)
class Confusions:
    """Rows are true classes, columns answers; counts (C, C)."""

    student: Ints
    teacher: Ints | None
    rows: int  # with a label
    step: int | None = None  # of the student's frame; None for its last weights

    @property
    def mistaken(self) -> float:
        """The largest share of a class's rows that one wrong answer of either network got; 0 where there is none."""
        wrong = [
            np.where(np.eye(len(who), dtype=bool), 0, self.shares(who))
            for who in (self.student, self.teacher)
            if who is not None
        ]
        return float(np.nanmax(wrong, initial=0.0))

    def shares(self, who: Ints) -> Floats:
        """Return counts as fractions of each true class's rows; NaN where it has none."""
        with np.errstate(invalid="ignore"):
            return np.asarray(who / self.student.sum(1, keepdims=True))


def confusions(rows: Rows, meant: Bools | None = None) -> Confusions:
    """Rows are true classes, columns predictions, the diagonal is correct; click a cell to select its samples."""
    here = rows.labels >= 0 if meant is None else (rows.labels >= 0) & meant
    truth = rows.labels[here]
    teacher = None if rows.teacher is None else counts(rows.teacher[here], truth)
    return Confusions(counts(rows.student[here], truth), teacher, len(truth))


def at_step(trail: Trail, step: int, meant: Bools | None = None) -> Confusions:
    """Return the same on the run's probe rows at the last frame that is not after `step`.

    Args:
        trail: the student's frames.
        step: of its run.
        meant: (P,) the probe rows that count; all when None.
    """
    place = max(0, int(np.searchsorted(trail.steps, step, side="right")) - 1)
    here = trail.labels >= 0 if meant is None else (trail.labels >= 0) & meant
    truth = trail.labels[here]
    teacher = None if trail.teacher is None else counts(trail.teacher[here], truth)
    return Confusions(counts(trail.student[place][here], truth), teacher, len(truth), int(trail.steps[place]))


def on_probe(rows: Rows, trail: Trail, meant: Bools | None) -> Bools | None:
    """Which of the probe rows (P,) a selection of the case's rows means; all where they are not among them."""
    return meant[rows.probe] if meant is not None and len(rows.probe) == len(trail.labels) else None


@dataclass(frozen=True)
class ConfusionCourse:
    """The K pairs of classes that were confused most, at T steps; fractions of the true class's probe rows."""

    steps: Ints  # (T,)
    true: Ints  # (K,)
    answer: Ints  # (K,)
    student: Floats  # (K, T)
    teacher: Floats | None  # (K,), the same at each step
    rows: Ints  # (K,) probe rows of the true class
    probe: int  # probe rows in all
    others: int  # pairs that were confused at some step and are not among them


def course(trail: Trail, meant: Bools | None = None, most: int = PAIRS) -> ConfusionCourse:
    """How often each true class was predicted as another, frame by frame: a band that fades is a mistake unlearned.

    Pairs are ordered by their share of the mistakes, averaged over the frames and the teacher.

    Source: Hinterreiter et al., ConfusionFlow: A Model-Agnostic Visualization for Temporal Analysis of Classifier
    Confusion, IEEE TVCG 2020.

    Args:
        trail: the student's frames.
        meant: (P,) the probe rows that count; all when None.
        most: pairs that are followed.
    """
    here = trail.labels >= 0 if meant is None else (trail.labels >= 0) & meant
    truth, classes = trail.labels[here], trail.student.shape[2]
    student = np.stack([counts(logits[here], truth) for logits in trail.student])
    teacher = None if trail.teacher is None else counts(trail.teacher[here], truth)
    weight = student.mean(0) + (0 if teacher is None else teacher)
    np.fill_diagonal(weight, 0)
    confused = int((weight > 0).sum())
    order = np.argsort(-weight, axis=None, kind="stable")[: min(most, confused)]
    true, answer = np.divmod(order, classes)
    rows = np.bincount(truth, minlength=classes)[true]
    return ConfusionCourse(
        steps=trail.steps,
        true=true,
        answer=answer,
        student=(student[:, true, answer] / np.maximum(rows, 1)).T,
        teacher=None if teacher is None else teacher[true, answer] / np.maximum(rows, 1),
        rows=rows,
        probe=len(truth),
        others=confused - len(order),
    )
