"""Which samples are worth a look: first those about which the two networks disagree."""

from dataclasses import dataclass

import numpy as np

from kdcore.probes._numerics import kl_nats, log_softmax, top_class
from kdcore.probes._rows import class_names, labels, pinned_row, student_logits, teacher_logits
from kdcore.runs.record import Record

SHOWN = 60


@dataclass(frozen=True)
class Sample:
    """One row of the probe set."""

    row: int
    label: str
    student: str | None  # None when its logits are not finite
    teacher: str | None
    differs: bool
    gap_nats: float  # KL(teacher || student) at temperature 1; without a teacher −log q of the label


@dataclass(frozen=True)
class Samples:
    """A choice of rows, the most telling first."""

    shown: tuple[Sample, ...]
    pinned: int  # row of the probe set, always among those shown


def samples(record: Record, sample: int, limit: int = SHOWN) -> Samples:
    """Click a sample to pin it in every panel. Those on which student and teacher disagree come first.

    The sharpest disagreement is foremost; then come the pinned row, which is always among the `limit`, and the others
    by number. Without a teacher the labels take its place.
    """
    truth, student, teacher = labels(record), student_logits(record), teacher_logits(record)
    answer = top_class(student)
    reference = truth if teacher is None else top_class(teacher)
    gap = -log_softmax(student)[np.arange(len(truth)), truth] if teacher is None else kl_nats(teacher, student)
    names: tuple[str | None, ...] = (*class_names(record, student.shape[1]), None)  # NO_ANSWER is the last
    pinned = pinned_row(record, sample)
    shown = tuple(
        Sample(
            row=int(row),
            label=str(names[truth[row]]),
            student=names[answer[row]],
            teacher=None if teacher is None else names[reference[row]],
            differs=bool(answer[row] != reference[row]),
            gap_nats=float(gap[row]),
        )
        for row in _order(answer != reference, gap, pinned, limit)
    )
    return Samples(shown, pinned)


def _order(differs: np.ndarray, gap: np.ndarray, pinned: int, limit: int) -> np.ndarray:
    """Rows to show: disagreements by falling gap, the pinned row, the others by number."""
    urgency = np.where(differs, 0, 2)
    urgency[pinned] = min(urgency[pinned], 1)
    order = np.lexsort((np.where(differs, -np.nan_to_num(gap, nan=np.inf), 0.0), urgency))
    chosen = order[:limit]
    return chosen if pinned in chosen else np.append(chosen[:-1], pinned)
