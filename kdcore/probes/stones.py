"""Other ways from an input to classes than the student's own: how good each is, and how near to the teacher."""

from dataclasses import dataclass

import numpy as np

from kdcore.probes._numerics import Floats, kl_nats, mean, top_class
from kdcore.probes._rows import labels, student_logits, teacher_logits
from kdcore.runs.record import Record

NAMES = {  # by method; of others they are called paths
    "bld": "stone {}",
    "ofa": "exit {}",
    "dhkd": "second head",
    "dho": "second head",
    "dml": "peer",
    "bdkd": "teacher now",
    "wakd": "averaged student",
}
BACKWARDS = {"bld"}  # path i takes the student's blocks up to cut i, so the last is the student's neighbour
EXITS = {"ofa"}  # path i leaves the student after its stage i, so the student itself comes last


@dataclass(frozen=True)
class Stones:
    """P paths between student and teacher; fractions of the probe rows."""

    names: tuple[str, ...]  # along the way to "teacher", the last where there is one
    accuracy: Floats
    agreement: Floats  # with the teacher; NaN throughout without one
    above: np.ndarray  # bool, where accuracy is at least agreement
    kl_nats: Floats  # mean KL(teacher || path) at temperature 1; NaN without a teacher


def stones(record: Record) -> Stones:
    """From the student to its teacher: accuracy of each path on the way, and its agreement with the teacher.

    A path of its own shares only part of the student: an exit, a second head, a peer, or half a teacher.
    """
    teacher = teacher_logits(record)
    told = _ordered(record) | ({} if teacher is None else {"teacher": teacher})
    accuracy = np.array([(top_class(logits) == labels(record)).mean() for logits in told.values()])
    agreement = np.array([_agreement(logits, teacher) for logits in told.values()])
    return Stones(
        names=tuple(told),
        accuracy=accuracy,
        agreement=agreement,
        above=~(accuracy < agreement),
        kl_nats=np.array([np.nan if teacher is None else mean(kl_nats(teacher, one)) for one in told.values()]),
    )


def _ordered(record: Record) -> dict[str, np.ndarray]:
    """Logits (N, C) of the student and its paths by name, in the order in which they are drawn."""
    method, paths = record.spec.method.name, record.frame["own_paths"]
    named = list(zip(_names(method, len(paths)), paths, strict=True))
    student = ("student", student_logits(record))
    if method in EXITS:
        return dict([*named, student])
    return dict([student, *(reversed(named) if method in BACKWARDS else named)])


def _names(method: str, count: int) -> list[str]:
    form = NAMES.get(method, "path {}")
    numbered = form if count == 1 or "{}" in form else form + " {}"
    return [numbered.format(place + 1) for place in range(count)]


def _agreement(logits: np.ndarray, teacher: np.ndarray | None) -> float:
    return float("nan") if teacher is None else float((top_class(logits) == top_class(teacher)).mean())
