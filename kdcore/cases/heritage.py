"""What of a student's calibration is its teacher's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kdcore.cases.calibration import Forecast
from kdcore.probes._bins import NORMAL_95, equal_mass, placed
from kdcore.probes._numerics import Floats, Ints

LEAST_ROWS = 10  # in a group
LEAST_GROUPS = 5  # for a correlation, and for groups by class
GROUPS = 15  # by the teacher's confidence, where there are too few classes
SEED = 0  # of the two halves


@dataclass(frozen=True)
class Heritage:
    """Gaps of both models (accuracy minus confidence) in G groups of the same rows."""

    by_class: bool  # groups are the teacher's answers; else its confidence in bins of equal mass
    group: Ints  # (G,) class, or bin
    edges: Floats  # (B + 1,) of those bins; () by class
    count: Ints  # (G,)
    teacher: Floats  # (G,)
    student: Floats  # (G,)
    correlation: float  # between the gaps on disjoint halves of the rows; NaN with too few groups
    low: float  # of its 95 % interval
    high: float


def heritage(teacher: Forecast, student: Forecast) -> Heritage:
    """Each point is one group of the same rows: on the diagonal the student is as much too sure as its teacher is.

    The correlation compares the teacher on one half of the rows with the student on the other, and the other way
    round, so that the luck of the rows does not count as heritage. Its interval is Fisher's, for G groups.

    Source: Fisher, On the Probable Error of a Coefficient of Correlation, Metron 1, 1921.
    """
    shared, ours, theirs = np.intersect1d(student.rows, teacher.rows, assume_unique=True, return_indices=True)
    lean = np.stack([(teacher.right - teacher.sure)[theirs], (student.right - student.sure)[ours]])
    answers, edges = teacher.top[theirs], equal_mass(teacher.sure[theirs], GROUPS)
    by_class = int((np.bincount(answers) >= LEAST_ROWS).sum()) >= LEAST_GROUPS
    group = answers if by_class else placed(teacher.sure[theirs], edges)
    kept = np.flatnonzero(np.bincount(group) >= LEAST_ROWS)
    first = np.random.default_rng(SEED).random(len(shared)) < 0.5
    halves = [_means(lean[:, half], group[half], kept) for half in (first, ~first)]
    found = _correlation(halves, len(kept))
    whole = _means(lean, group, kept)
    counts = np.bincount(group, minlength=1)[kept]
    return Heritage(by_class, kept, np.zeros(0) if by_class else edges, counts, whole[0], whole[1], *found)


def _means(lean: Floats, group: Ints, kept: Ints) -> Floats:
    """Mean of each row of (2, N) in the groups that are kept: (2, G); NaN where there are no rows."""
    size = int(kept.max(initial=0)) + 1
    here = group < size
    count = np.bincount(group[here], minlength=size)
    with np.errstate(invalid="ignore"):
        means = [np.bincount(group[here], weights=one[here], minlength=size) / count for one in lean]
    return np.stack(means)[:, kept]


def _correlation(halves: list[Floats], groups: int) -> tuple[float, float, float]:
    """The mean of both ways, and its interval; NaN with too few groups, or where a side does not vary."""
    pairs = [(halves[0][0], halves[1][1]), (halves[1][0], halves[0][1])]
    nothing = (float("nan"),) * 3
    if groups < LEAST_GROUPS or not all(np.isfinite(side).all() and np.ptp(side) > 0 for two in pairs for side in two):
        return nothing
    middle = float(
        np.tanh(np.mean([np.arctanh(np.clip(np.corrcoef(*two)[0, 1], -1 + 1e-9, 1 - 1e-9)) for two in pairs]))
    )
    half = NORMAL_95 / np.sqrt(groups - 3)
    return middle, float(np.tanh(np.arctanh(middle) - half)), float(np.tanh(np.arctanh(middle) + half))
