"""What the student is asked to imitate, where that is not simply what its teacher says."""

from dataclasses import dataclass

import numpy as np

from kdcore.probes._numerics import Floats, softmax
from kdcore.probes._rows import class_names, labels, pinned_row, shown_classes, student_logits, teacher_logits
from kdcore.runs.record import Record

SHOWN = 20  # classes, the label apart
CHANGED = 0.005  # total variation from which a target counts as another than the teacher's answer


@dataclass(frozen=True)
class Moves:
    """How targets differ from the teacher's answers on the N probe rows."""

    before: Floats  # (N,) teacher's probability of the label
    after: Floats  # (N,) the target's
    changed: int  # rows whose target differs from the teacher's answer by CHANGED or more
    wrong: int  # rows where the teacher's class is not the label
    repaired: int  # of these, rows where the target's class is
    spoilt: int  # rows where the teacher's class is the label and the target's is not


@dataclass(frozen=True)
class Target:
    """One sample at temperature 1, K classes shown, and all rows."""

    sample: int  # row of the probe set
    chosen: bool  # whether that is the row asked for
    classes: tuple[str, ...]  # (K,)
    label: int  # position of the true class among those shown
    hidden: int  # classes not shown
    answers: dict[str, Floats]  # "teacher" (where there is one), "target", "student": (K,) probabilities
    moves: Moves | None  # None without a teacher
    rows: int


def target(record: Record, sample: int) -> Target:
    """Top: the training target, next to both outputs. Bottom: points off the diagonal were changed.

    Where the target of the row asked for is the teacher's answer and that of other rows is not, the row that is
    changed most is shown in its place.
    """
    truth, student, teachers = labels(record), softmax(student_logits(record)), teacher_logits(record)
    asked = np.asarray(record.frame["own_target"], dtype=np.float64)
    teacher = None if teachers is None else softmax(teachers)
    pinned = pinned_row(record, sample)
    row = pinned if teacher is None else _telling(distance(teacher, asked), pinned)
    label = int(truth[row])
    shown = shown_classes(np.log(np.maximum(asked[row], 1e-30)), label, SHOWN)
    names = class_names(record, asked.shape[1])
    told = {"teacher": teacher, "target": asked, "student": student}
    return Target(
        sample=row,
        chosen=row == pinned,
        classes=tuple(names[k] for k in shown),
        label=int(np.flatnonzero(shown == label)[0]),
        hidden=asked.shape[1] - len(shown),
        answers={name: answer[row][shown] for name, answer in told.items() if answer is not None},
        moves=None if teacher is None else moves(teacher, asked, truth),
        rows=len(truth),
    )


def distance(teacher: np.ndarray, asked: np.ndarray) -> Floats:
    """Total variation between probabilities (N, C), row by row: (N,), from 0 to 1; 0 where one is not a number."""
    return np.asarray(np.nan_to_num(np.abs(teacher - asked).sum(1) / 2))


def moves(teacher: np.ndarray, asked: np.ndarray, truth: np.ndarray) -> Moves:
    """Teacher's answers and targets (N, C), as probabilities, about labels (N,)."""
    rows, right, right_after = np.arange(len(truth)), teacher.argmax(1) == truth, asked.argmax(1) == truth
    return Moves(
        before=teacher[rows, truth],
        after=asked[rows, truth],
        changed=int((distance(teacher, asked) >= CHANGED).sum()),
        wrong=int((~right).sum()),
        repaired=int((~right & right_after).sum()),
        spoilt=int((right & ~right_after).sum()),
    )


def _telling(change: Floats, pinned: int) -> int:
    """The pinned row, or the most changed one where nothing happens to that and something to this."""
    return pinned if change[pinned] >= CHANGED or change.max() < CHANGED else int(change.argmax())
