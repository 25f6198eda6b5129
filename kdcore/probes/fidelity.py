"""How faithfully the student follows its teacher, right or wrong."""

from dataclasses import dataclass

import numpy as np

from kdcore.probes._errors import repeated_by_chance
from kdcore.probes._numerics import kl_nats, mean, top_class
from kdcore.probes._rows import labels, student_logits, teacher_logits
from kdcore.runs.record import Record


@dataclass(frozen=True)
class Fidelity:
    """Both networks on the probe rows; the five counts add up to `rows`."""

    rows: int
    both_right: int
    teacher_only: int
    student_only: int
    both_wrong_same: int
    both_wrong_differently: int
    agreement: float  # fraction of rows where both give the same class
    expected: float  # share of the teacher's errors that the student would repeat by its own habit; NaN without errors
    kl_nats: float  # mean KL(teacher || student) at temperature 1

    @property
    def agreed(self) -> int:
        """Rows where both give the same class."""
        return round(self.agreement * self.rows)

    @property
    def teacher_errors(self) -> int:
        """Rows where the teacher is wrong."""
        return self.student_only + self.both_wrong_same + self.both_wrong_differently

    @property
    def shares(self) -> dict[str, float]:
        """The parts as fractions of the rows."""
        return {name: count / self.rows for name, count in self.parts.items()}

    @property
    def parts(self) -> dict[str, int]:
        """The five counts by what they are called on screen."""
        return {
            "both right": self.both_right,
            "teacher only": self.teacher_only,
            "student only": self.student_only,
            "both wrong, same answer": self.both_wrong_same,
            "both wrong, differently": self.both_wrong_differently,
        }


def fidelity(record: Record) -> Fidelity:
    """Each sample is in one group: a faithful student shares its teacher's predictions, mistakes included.

    Source: Stanton et al., Does Knowledge Distillation Really Work?, NeurIPS 2021 (agreement).
    """
    teachers = teacher_logits(record)
    assert teachers is not None
    truth, student, teacher = labels(record), top_class(student_logits(record)), top_class(teachers)
    same, student_right, teacher_right = student == teacher, student == truth, teacher == truth
    wrong = ~student_right & ~teacher_right

    def count(part: np.ndarray) -> int:
        return int(np.count_nonzero(part))

    return Fidelity(
        rows=len(truth),
        both_right=count(student_right & teacher_right),
        teacher_only=count(teacher_right & ~student_right),
        student_only=count(student_right & ~teacher_right),
        both_wrong_same=count(wrong & same),
        both_wrong_differently=count(wrong & ~same),
        agreement=float(same.mean()),
        expected=repeated_by_chance(truth, student, teacher, teachers.shape[1], ~teacher_right),
        kl_nats=mean(kl_nats(teachers, student_logits(record))),
    )
