"""What stands out among the causes: a cause that one class has far more often, or a witness that does better.

Some of every cause is there in any student. So a class is told only where a cause is far more frequent than in the
others, and time or size only where the witness agrees with the teacher more often than other seeds would: rows on
which this very student disagrees look better with any other one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.stats import t

from kdcore.comparison.case import Case
from kdcore.comparison.causes import CAUSES, Cause, Causes, causes, disagree, witness
from kdcore.comparison.significance import discovered, more_often

RATE = 0.05  # false discoveries among what stands out
TIMES = 3.0  # how much more frequent than in other classes
SHARE = 0.05  # of a class's rows, at least
GAIN = 0.01  # of the rows: how much more often a witness must agree than other seeds do


@dataclass(frozen=True)
class Concentration:
    """A cause that one class has far more often."""

    cause: Cause
    answer: int  # the teacher's class
    rows: int
    of: int  # rows with that answer
    share: float  # of these
    elsewhere: float  # of the others
    q: float

    @property
    def select(self) -> str:
        """Its rows as a selection."""
        return f"cause={self.cause};teacher={self.answer}"


@dataclass(frozen=True)
class Gain:
    """A witness that agrees with the teacher more often than students of the same recipe do."""

    kind: Literal["longer", "bigger"]
    cause: Cause
    agreement: float  # fraction of all rows, of the witness
    usual: float  # mean of this student and the other seeds
    error: float  # the standard error of one more seed
    p: float
    rows: int

    @property
    def stands_out(self) -> bool:
        """Whether it is more than chance, and enough to matter."""
        return self.p <= RATE and self.agreement - self.usual >= GAIN


def concentrations(case: Case) -> list[Concentration]:
    """Causes that one of the teacher's answers has far more often than the others, the most rows first."""
    found = causes(case)
    answers = case.rows.teacher_top
    rows = np.bincount(answers[answers >= 0], minlength=len(case.classes))
    listed = [one for place in range(len(CAUSES) - 1) for one in _by_class(found, rows, place)]
    rates = discovered(np.array([p for _, p in listed]))
    kept = [replace(one, q=float(q)) for (one, _), q in zip(listed, rates, strict=True) if q <= RATE and _frequent(one)]
    return sorted(kept, key=lambda one: -one.rows)


def _frequent(one: Concentration) -> bool:
    return one.share >= max(SHARE, TIMES * one.elsewhere)


def _by_class(found: Causes, rows: np.ndarray, place: int) -> list[tuple[Concentration, float]]:
    """One cause in each class, and how likely so many would be by chance; q is yet unknown.

    Classes without it count as tests, too: which class is hit is what chance decides.
    """
    hits, cause = found.by_class[:, place], list(CAUSES)[place]
    p = more_often(hits, rows, int(hits.sum()), int(rows.sum()))
    share = hits / np.maximum(rows, 1)
    counts = list(zip(hits.tolist(), rows.tolist(), strict=True))
    elsewhere = (hits.sum() - hits) / np.maximum(rows.sum() - rows, 1)
    return [
        (
            Concentration(cause, int(k), *counts[k], float(share[k]), float(elsewhere[k]), 1.0),
            float(p[k]),
        )
        for k in np.flatnonzero(rows)
    ]


def gains(case: Case) -> list[Gain]:
    """How often a longer run and a bigger student agree with the teacher, against this student and its other seeds.

    A t-test whether they are one more draw of the same; the spread is no smaller than counting rows makes it.
    """
    knobs = causes(case).knobs
    seeds = witness(case, knobs, "seeds")
    if seeds is None or len(seeds.like_teacher) < 2:
        return []
    usual = np.append(seeds.like_teacher.mean(1), 1 - disagree(case, knobs).mean())
    mean, count = float(usual.mean()), len(usual)
    spread = max(float(usual.std(ddof=1)), np.sqrt(max(mean * (1 - mean), 1e-12) / len(case.rows)))
    error = spread * np.sqrt(1 + 1 / count)
    kinds: dict[Literal["longer", "bigger"], Cause] = {"longer": "under_trained", "bigger": "capacity"}
    told = {kind: witness(case, knobs, kind) for kind in kinds}
    shares = {kind: float(one.like_teacher.mean()) for kind, one in told.items() if one}
    return [
        Gain(
            kind, kinds[kind], share, mean, float(error), float(t.sf((share - mean) / error, count - 1)), len(case.rows)
        )
        for kind, share in shares.items()
    ]
