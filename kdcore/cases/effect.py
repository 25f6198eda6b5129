"""What more steps on some rows did to a student, there and elsewhere."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kdcore.cases.case import Rows
from kdcore.cases.choosing import Bools
from kdcore.probes._numerics import top_class


@dataclass(frozen=True)
class Effect:
    """The student before and after on some rows that have a label; fractions."""

    name: str
    rows: int
    before: float  # accuracy
    after: float
    gained: int  # rows that became right
    lost: int  # rows that became wrong
    agreed_before: float  # with the teacher; NaN without one
    agreed_after: float


def effects(rows: Rows, after: np.ndarray, meant: Bools, classes: tuple[str, ...]) -> list[Effect]:
    """On the rows that were meant, on all others, and on the others of each class.

    Args:
        rows: the answers before.
        after: (N, C) the student's logits afterwards, about the same rows.
        meant: (N,) the slice.
        classes: names.
    """
    known = rows.labels >= 0
    parts = {"the slice": meant, "elsewhere": ~meant}
    parts |= {f"elsewhere, {name}": ~meant & (rows.labels == place) for place, name in enumerate(classes)}
    answers = top_class(after)
    return [_effect(name, rows, answers, here & known) for name, here in parts.items() if (here & known).any()]


def _effect(name: str, rows: Rows, answers: np.ndarray, here: Bools) -> Effect:
    was, now = (top[here] == rows.labels[here] for top in (rows.student_top, answers))
    none = float("nan")
    agreed = (none, none)
    if rows.teacher is not None:
        first, second = (float((top[here] == rows.teacher_top[here]).mean()) for top in (rows.student_top, answers))
        agreed = (first, second)
    return Effect(
        name=name,
        rows=int(here.sum()),
        before=float(was.mean()),
        after=float(now.mean()),
        gained=int((now & ~was).sum()),
        lost=int((was & ~now).sum()),
        agreed_before=agreed[0],
        agreed_after=agreed[1],
    )
