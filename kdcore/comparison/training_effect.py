"""What more steps on some rows did to a student, there and elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import binomtest

from kdcore.comparison.case import Rows
from kdcore.comparison.selection import Bools
from kdcore.comparison.significance import discovered
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
    p: float  # that so unequal a gain and loss are chance: McNemar's test, exact, for all lines at once
    agreed_before: float  # with the teacher; NaN without one
    agreed_after: float


def effects(rows: Rows, after: np.ndarray, meant: Bools, classes: tuple[str, ...]) -> list[Effect]:
    """On the rows that were meant, on all others, and on the others of each class.

    Source: McNemar, Note on the Sampling Error of the Difference between Correlated Proportions, Psychometrika 12,
    1947. Its p is raised to the rate of false discoveries over all lines (`kdcore.comparison.significance.discovered`).

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
    found = [_effect(name, rows, answers, here & known) for name, here in parts.items() if (here & known).any()]
    rates = discovered(np.array([one.p for one in found]))
    return [replace(one, p=float(rate)) for one, rate in zip(found, rates, strict=True)]


def _effect(name: str, rows: Rows, answers: np.ndarray, here: Bools) -> Effect:
    was, now = (top[here] == rows.labels[here] for top in (rows.student_top, answers))
    none = float("nan")
    agreed = (none, none)
    if rows.teacher is not None:
        first, second = (float((top[here] == rows.teacher_top[here]).mean()) for top in (rows.student_top, answers))
        agreed = (first, second)
    gained, lost = int((now & ~was).sum()), int((was & ~now).sum())
    return Effect(
        name=name,
        rows=int(here.sum()),
        before=float(was.mean()),
        after=float(now.mean()),
        gained=gained,
        lost=lost,
        p=float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0,
        agreed_before=agreed[0],
        agreed_after=agreed[1],
    )
