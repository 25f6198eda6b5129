"""What a generator makes of the answers of teacher and student to the same image."""

from dataclasses import dataclass

import numpy as np

from kdcore.probes._numerics import top_class
from kdcore.probes._rows import class_names, newest, student_logits, teacher_logits
from kdcore.runs.record import Record


@dataclass(frozen=True)
class Inversion:
    """One probe image; pictures (K, H, W) uint8."""

    row: int  # of the probe set
    image: np.ndarray
    teacher: np.ndarray  # the image of the teacher's answer
    student: np.ndarray  # of the student's
    difference: np.ndarray  # their absolute difference
    teacher_class: str  # what the teacher says of the image
    student_class: str  # what the student says of it
    teacher_again: str | None  # what the teacher says of `teacher`; None where it was not asked
    student_again: str | None  # what it says of `student`

    @property
    def consistent(self) -> bool | None:
        """Whether the teacher finds its own answer in that answer's image; None where it was not asked."""
        return None if self.teacher_again is None else self.teacher_again == self.teacher_class


@dataclass(frozen=True)
class Inversions:
    """The first rows of the probe set, and how far such pictures can be trusted."""

    shown: tuple[Inversion, ...]
    cycle: float  # share of probe images whose answer's image the teacher answers alike; NaN where unknown
    cycled: float  # of so many probe images; NaN in records of before
    chance: float  # that share where images have nothing to do with answers and classes are even
    difference: float  # mean over images and pixels, as a share of the range


def inversions(record: Record) -> Inversions:
    """Images generated from both outputs for one image; they show the predicted class only if cycle accuracy is high.

    Cycle accuracy is the share of probe images x with argmax T(G(T(x))) = argmax T(x).
    """
    theirs, ours, teachers = record.frame["inverse_teacher"], record.frame["inverse_student"], teacher_logits(record)
    assert teachers is not None
    rows = len(theirs)
    names = (*class_names(record, teachers.shape[1]), "no number")
    said, mine = top_class(teachers[:rows]), top_class(student_logits(record)[:rows])
    again = [_again(record, f"inverse_{who}_logits", names, rows) for who in ("teacher", "student")]
    gap = np.abs(theirs.astype(np.int16) - ours).astype(np.uint8)
    shown = tuple(
        Inversion(
            row=row,
            image=record.static["probe_x"][row],
            teacher=theirs[row],
            student=ours[row],
            difference=gap[row],
            teacher_class=names[said[row]],
            student_class=names[mine[row]],
            teacher_again=again[0][row],
            student_again=again[1][row],
        )
        for row in range(rows)
    )
    return Inversions(
        shown, newest(record, "cycle"), newest(record, "cycle_rows"), 1 / teachers.shape[1], float(gap.mean()) / 255
    )


def _again(record: Record, name: str, names: tuple[str, ...], rows: int) -> list[str | None]:
    logits = record.frame.get(name)
    return [None] * rows if logits is None else [names[place] for place in top_class(logits)]
