"""How often the student is right, and how far it is from its teacher."""

from dataclasses import dataclass

import numpy as np

from kdcore.events import Evaluated
from kdcore.probes._numerics import Floats, Ints, thinned
from kdcore.runs.record import Record


@dataclass(frozen=True)
class Final:
    """The last word: both networks on the test split, once, after the last step."""

    step: int
    student: float
    teacher: float | None


@dataclass(frozen=True)
class Accuracies:
    """Accuracies as fractions."""

    train_step: Ints  # (S,) int64
    train: Floats  # (S,) of the batches since the point before; NaN where none was labelled
    step: Ints  # (E,) int64, steps of the validation passes
    student: Floats  # (E,) on the validation split
    teacher: float | None  # on the validation split
    gap_points: float | None  # percentage points, teacher minus student at the newest pass; None before it learns
    begins: int | None  # the step after which the student learns, until it does
    final: Final | None

    @property
    def labelled(self) -> bool:
        """Whether any batch had labels, so that there is a training accuracy."""
        return not self.train.size or bool(np.isfinite(self.train).any())


def accuracy(record: Record, limit: int = 2000) -> Accuracies:
    """Higher is better: the student's curve should reach its teacher's; the shaded area is the remaining gap.

    Training accuracy has at most `limit` points, evenly spread.
    """
    steps = [record.steps[k] for k in thinned(len(record.steps), limit)]
    passes = [seen for seen in record.evaluations if seen.split == "val"]
    tests = [seen for seen in record.evaluations if seen.split == "test"]
    newest = passes[-1] if passes else None
    teacher = newest.teacher.accuracy if newest and newest.teacher else None
    lead = record.started.lead if record.started else 0
    waits = lead > 0 and (newest is None or newest.step <= lead)
    now = max(record.step, *(step.step for step in record.steps[-1:]), 0)
    return Accuracies(
        train_step=np.array([step.step for step in steps], dtype=np.int64),
        train=np.array([step.train_accuracy for step in steps], dtype=np.float64),
        step=np.array([seen.step for seen in passes], dtype=np.int64),
        student=np.array([seen.student.accuracy for seen in passes], dtype=np.float64),
        teacher=teacher,
        gap_points=100 * (teacher - newest.student.accuracy) if newest and teacher is not None and not waits else None,
        begins=lead if waits and now <= lead else None,
        final=_final(tests[-1]) if tests else None,
    )


def _final(seen: Evaluated) -> Final:
    return Final(seen.step, seen.student.accuracy, seen.teacher.accuracy if seen.teacher else None)
