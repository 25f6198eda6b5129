"""Both networks' confidence among three classes, as points of a triangle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kdcore.comparison.case import Rows
from kdcore.comparison.selection import Bools
from kdcore.probes._numerics import Floats, Ints, softmax, thinned
from kdcore.probes.affinity import by_class

SHOWN = 300  # rows with a point each
HEIGHT = np.sqrt(3) / 2
CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, HEIGHT]])


@dataclass(frozen=True)
class Triangle:
    """R rows, the corners' classes in the order left, right, above."""

    classes: tuple[int, int, int]
    rows: Ints  # (R,)
    student: Floats  # (R, 3) probabilities among the three
    teacher: Floats | None  # (R, 3)
    labels: Ints  # (R,)
    mass: float  # mean share of the student's probability that these three hold
    of: int  # rows that could be shown

    def plane(self, shares: Floats) -> Floats:
        """Where shares (R, 3) lie in the plane, (R, 2); the triangle's sides are 1."""
        return np.asarray(shares @ CORNERS)


def triangle(
    rows: Rows,
    temperature: float,
    meant: Bools | None = None,
    classes: tuple[int, ...] = (),
    pinned: tuple[int, ...] = (),
) -> Triangle:
    """Softened probabilities of three classes: corners are confident, the centre undecided; lines join both networks.

    A row's point lies near the classes that a network still considers, so long lines are rows where the student weighs
    them otherwise than its teacher. The three are those that are confused most, unless some are chosen.

    Args:
        rows: both models' answers.
        temperature: that softens both.
        meant: (N,) the rows that count; all when None.
        classes: those that must be among the three.
        pinned: rows that are shown whatever else.
    """
    here = (rows.labels >= 0) & (True if meant is None else meant)
    three = _completed(rows, here, classes)
    known = np.flatnonzero(here & np.isin(rows.labels, three))
    shown = known[thinned(len(known), SHOWN)] if len(known) else known
    shown = np.unique([*shown, *(row for row in pinned if row < len(rows))]).astype(np.int64)
    softened = softmax(rows.student[shown], temperature)[:, list(three)]
    return Triangle(
        classes=three,
        rows=shown,
        student=among(rows.student[shown], three, temperature),
        teacher=None if rows.teacher is None else among(rows.teacher[shown], three, temperature),
        labels=rows.labels[shown],
        mass=float(softened.sum(1).mean()) if len(shown) else float("nan"),
        of=len(known),
    )


def among(logits: np.ndarray, classes: tuple[int, ...], temperature: float) -> Floats:
    """Softened probabilities (R, 3) of logits (R, C) were there only these classes."""
    return softmax(logits[:, list(classes)], temperature)


def _completed(rows: Rows, here: Bools, chosen: tuple[int, ...]) -> tuple[int, int, int]:
    """Three classes: those chosen, then one after another the class that is confused most with those there are."""
    mixed = _mixed(rows, here)
    found = [k for k in dict.fromkeys(chosen) if 0 <= k < len(mixed)][:3]
    if not found:
        found = [int(k) for k in np.unravel_index(mixed.argmax(), mixed.shape)]
    while len(found) < 3:
        rest = np.setdiff1d(np.arange(len(mixed)), found)
        found.append(int(rest[mixed[found][:, rest].sum(0).argmax()]))
    left, right, above = found
    return left, right, above


def _mixed(rows: Rows, here: Bools) -> Floats:
    """How much each pair of classes is confused (C, C): probability mass that both networks give one on the other's
    rows."""
    classes = rows.student.shape[1]
    mass = np.zeros((classes, classes))
    for log_probabilities in (rows.log_q, *([] if rows.teacher is None else [rows.log_p])):
        told, labels = log_probabilities[here], rows.labels[here]
        for at, part in told.blocks():
            mass += by_class(np.nan_to_num(np.exp(part)), labels[at])
    np.fill_diagonal(mass, 0)
    return mass + mass.T
