"""How both networks fare when rows are changed, as the task of that name has measured it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kdcore.comparison.case import Case
from kdcore.comparison.intervals import of_mean, wilson
from kdcore.probes._numerics import Floats
from kdcore.runs.record import Arrays


@dataclass(frozen=True)
class Curve:
    """A number at each of A strengths, and its 95 % interval."""

    value: Floats  # (A,)
    low: Floats
    high: Floats


@dataclass(frozen=True)
class Augmentation:
    """One way to change rows."""

    name: str
    strength: Floats  # (A,), the first is 0
    unit: str
    student: Curve  # accuracy
    teacher: Curve | None  # accuracy
    agreement: Curve | None  # share of rows with the same answer
    kl: Curve | None  # KL(teacher || student) in nats
    rows: int
    select: str  # the selection that was asked about


def augment(case: Case) -> tuple[Augmentation, ...]:
    """What remains of both networks' accuracy, and of their agreement, as the samples are changed more and more.

    Where the teacher stands and the student falls, the student has learned answers but not their reasons: train it on
    rows changed so. Each row is changed by its own draw, the same for both. Intervals hold 95 % over the rows.
    """
    found = case.part("augment")
    names = list(dict.fromkeys(map(str, found["family"])))
    return tuple(_family(found, name) for name in names)


def _family(found: Arrays, name: str) -> Augmentation:
    here = found["family"] == name
    right = found["right"][:, here]
    return Augmentation(
        name=name,
        strength=found["strength"][here],
        unit=str(found["unit"][here][0]),
        student=share(right[0]),
        teacher=share(right[1]) if len(right) > 1 else None,
        agreement=share(found["same"][here]) if "same" in found else None,
        kl=Curve(found["kl"][here].mean(1), *of_mean(found["kl"][here].astype(np.float64))) if "kl" in found else None,
        rows=right.shape[2],
        select=str(found["select"]),
    )


def share(holds: np.ndarray) -> Curve:
    """How often something holds of R rows, at each strength (A, R), with Wilson's interval."""
    count = holds.sum(1)
    return Curve(count / holds.shape[1], *wilson(count, np.full(len(count), holds.shape[1])))
