"""How a student's calibration came about: claims at every frame that its run kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kdcore.comparison.cache import remembered
from kdcore.comparison.calibration_inheritance import grouped, inherited
from kdcore.comparison.checkpoint_history import Trail
from kdcore.comparison.selection import Bools
from kdcore.probes._bins import Bins, binned, equal_width
from kdcore.probes._numerics import Floats, Ints, log_softmax

BINS = 10  # of the diagram that plays: there are few probe rows


@dataclass(frozen=True, eq=False)
class Claims:
    """What was claimed of P probe rows at each of T moments."""

    top: Ints  # (T, P) the answer
    sure: Floats  # (T, P) its probability
    right: Bools  # (T, P)
    nll: Floats  # (T, P) nats


@dataclass(frozen=True)
class CalibrationCourse:
    """Scores over training; the teacher's are one number each, NaN without one."""

    steps: Ints  # (T,)
    rows: int  # probe rows with a label that count
    ece: Floats  # (T,) in BINS bins of equal width
    nll: Floats  # (T,) nats
    confidence: Floats  # (T,) mean
    accuracy: Floats  # (T,)
    teacher_ece: float
    teacher_nll: float
    inherited: Floats  # (T, 3) how far gaps go together with the teacher's, and from where to where with 95 %


def course(seen: Trail, meant: Bools | None = None) -> CalibrationCourse:
    """Where confidence exceeds accuracy, the student is overconfident. Dotted: its own teacher.

    Args:
        seen: the frames of its run.
        meant: (P,) the probe rows that count; all when None.
    """
    here = _labelled(seen, meant)
    student, teacher = _student(seen), _teacher(seen)
    found = [_diagram(student, place, here) for place in range(len(seen.steps))]
    taught = None if teacher is None or not here.any() else _diagram(teacher, 0, here)
    nothing = float("nan")
    return CalibrationCourse(
        steps=seen.steps,
        rows=int(here.sum()),
        ece=np.array([one.ece for one in found]),
        nll=_mean(student.nll, here),
        confidence=_mean(student.sure, here),
        accuracy=_mean(student.right, here),
        teacher_ece=taught.ece if taught else nothing,
        teacher_nll=float(_mean(teacher.nll, here)[0]) if teacher else nothing,
        inherited=_inherited(student, teacher, here),
    )


def _inherited(student: Claims, teacher: Claims | None, here: Bools) -> Floats:
    """Return the correlation of `kdcore.comparison.calibration_inheritance` at each step, (T, 3); NaN where there
    is none.
    """
    if teacher is None or not here.any():
        return np.full((len(student.sure), 3), np.nan)
    groups = grouped(teacher.top[0, here], teacher.sure[0, here])
    theirs = (teacher.right[0] - teacher.sure[0])[here]
    return np.array([inherited(np.stack([theirs, own[here]]), groups) for own in student.right - student.sure])


@dataclass(frozen=True)
class Play:
    """A reliability diagram at each of T steps, and the teacher's."""

    steps: Ints  # (T,)
    rows: int
    student: list[Bins]  # T of them
    teacher: Bins | None


def play(seen: Trail, meant: Bools | None = None) -> Play:
    """Press play: the student's discs move across the diagram as it learns; the teacher's stay fixed."""
    here = _labelled(seen, meant)
    student, teacher = _student(seen), _teacher(seen)
    diagrams = [_diagram(student, place, here) for place in range(len(seen.steps))]
    return Play(seen.steps, int(here.sum()), diagrams, _diagram(teacher, 0, here) if teacher else None)


def _labelled(seen: Trail, meant: Bools | None) -> Bools:
    known = seen.labels >= 0
    return known if meant is None else known & meant


def _diagram(claims: Claims, place: int, here: Bools) -> Bins:
    return binned(claims.sure[place, here], claims.right[place, here], equal_width(BINS))


def _mean(values: np.ndarray, here: Bools) -> Floats:
    """(T,) means over the rows that count; NaN without any."""
    return values[:, here].mean(1) if here.any() else np.full(len(values), np.nan)


@remembered
def _student(seen: Trail) -> Claims:
    parts = [_claims(logits[None], seen.labels) for logits in seen.student]
    return Claims(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in ("top", "sure", "right", "nll"))
    )


@remembered
def _teacher(seen: Trail) -> Claims | None:
    return None if seen.teacher is None else _claims(seen.teacher[None], seen.labels)


def _claims(logits: np.ndarray, labels: Ints) -> Claims:
    """Of logits (T, P, C); a row without a finite answer claims nothing and is wrong."""
    log_q = np.nan_to_num(log_softmax(logits), nan=-np.inf)
    top = log_q.argmax(2)
    held = np.take_along_axis(log_q, np.maximum(labels, 0)[None, :, None], 2)[:, :, 0]
    return Claims(top, np.exp(log_q.max(2)), top == labels, -held)
