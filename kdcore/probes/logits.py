"""What both networks say about one sample."""

from dataclasses import dataclass

import numpy as np

from kdcore.probes._numerics import Floats, kl_nats, softmax
from kdcore.probes._rows import class_names, labels, pinned_row, shown_classes, student_logits, teacher_logits
from kdcore.runs.record import Record

SHOWN = 20  # classes, the label apart


@dataclass(frozen=True)
class Answer:
    """One network on one sample, K classes shown."""

    logits: Floats  # (K,)
    probability: Floats  # (K,) softened, over all classes


@dataclass(frozen=True)
class Logits:
    """Both networks on one sample."""

    sample: int  # row of the probe set
    classes: tuple[str, ...]  # (K,) names of those shown
    label: int  # position of the true class among those shown
    hidden: int  # classes not shown
    temperature: float
    student: Answer
    teacher: Answer | None
    kl_nats: float | None  # KL(teacher || student) at that temperature, over all classes


def logits(record: Record, sample: int, temperature: float) -> Logits:
    """Top: logits; bottom: probabilities softened by τ. With distillation the student approaches the teacher's bars.

    Beyond 20 classes only the teacher's (without one, the student's) 20 likeliest and the label are shown.
    """
    row = pinned_row(record, sample)
    label, student, teachers = int(labels(record)[row]), student_logits(record)[row], teacher_logits(record)
    teacher = None if teachers is None else teachers[row]
    shown = shown_classes(student if teacher is None else teacher, label, SHOWN)
    names = class_names(record, len(student))
    return Logits(
        sample=row,
        classes=tuple(names[k] for k in shown),
        label=int(np.flatnonzero(shown == label)[0]),
        hidden=len(student) - len(shown),
        temperature=temperature,
        student=_answer(student, shown, temperature),
        teacher=None if teacher is None else _answer(teacher, shown, temperature),
        kl_nats=None if teacher is None else float(kl_nats(teacher, student, temperature)),
    )


def _answer(scores: np.ndarray, shown: np.ndarray, temperature: float) -> Answer:
    return Answer(scores[shown], softmax(scores, temperature)[shown])
