"""Other ways from an input to classes than the student's own: how good each is, and how near to the teacher."""

from dataclasses import dataclass

import numpy as np

from kdcore.probes._numerics import Floats, kl_nats, mean, top_class
from kdcore.probes._rows import labels, student_logits, teacher_logits
from kdcore.record import Record

NAMES = {  # by method; of others they are called paths
    "bld": "stone {}",
    "ofa": "exit {}",
    "dhkd": "second head",
    "dho": "second head",
    "dml": "peer",
    "bdkd": "teacher now",
}


@dataclass(frozen=True)
class Stones:
    """P paths between student and teacher; fractions of the probe rows."""

    names: tuple[str, ...]  # "student", the paths in order, and "teacher" where there is one
    accuracy: Floats
    agreement: Floats  # with the teacher; NaN throughout without one
    above: np.ndarray  # bool, where accuracy is at least agreement
    kl_nats: Floats  # mean KL(teacher || path) at temperature 1; NaN without a teacher


def stones(record: Record) -> Stones:
    """From the student step by step to its teacher: each path is right, and agrees with the teacher, so often.

    A path of its own shares only part of the student: an exit, a second head, a peer, or half a teacher.
    """
    teacher, paths = teacher_logits(record), record.frame["own_paths"]
    told = dict(zip(_names(record.spec.method.name, len(paths)), paths, strict=True))
    told = {"student": student_logits(record), **told} | ({} if teacher is None else {"teacher": teacher})
    accuracy = np.array([(top_class(logits) == labels(record)).mean() for logits in told.values()])
    agreement = np.array([_agreement(logits, teacher) for logits in told.values()])
    return Stones(
        names=tuple(told),
        accuracy=accuracy,
        agreement=agreement,
        above=~(accuracy < agreement),
        kl_nats=np.array([np.nan if teacher is None else mean(kl_nats(teacher, one)) for one in told.values()]),
    )


def _names(method: str, count: int) -> list[str]:
    form = NAMES.get(method, "path {}")
    numbered = form if count == 1 or "{}" in form else form + " {}"
    return [numbered.format(place + 1) for place in range(count)]


def _agreement(logits: np.ndarray, teacher: np.ndarray | None) -> float:
    return float("nan") if teacher is None else float((top_class(logits) == top_class(teacher)).mean())
