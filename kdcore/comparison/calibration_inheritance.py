"""What of a student's calibration is its teacher's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata

from kdcore.comparison.calibration import Forecast
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
    correlation: float  # of ranks, between the gaps on disjoint halves of the rows; NaN with too few groups
    low: float  # of its 95 % interval
    high: float


def heritage(teacher: Forecast, student: Forecast) -> Heritage:
    """Each point is one group of the same samples: on the diagonal the student is as overconfident as its teacher.

    The correlation compares the teacher on one half of the rows with the student on the other, and the other way
    round, so that the luck of the rows does not count as heritage. It is that of ranks (Spearman's), so no single group
    makes it; its interval is for G groups.

    Source: Fieller, Hartley and Pearson, Tests for Rank Correlation Coefficients, Biometrika 44, 1957 (the interval).
    """
    _, ours, theirs = np.intersect1d(student.rows, teacher.rows, assume_unique=True, return_indices=True)
    lean = np.stack([(teacher.right - teacher.sure)[theirs], (student.right - student.sure)[ours]])
    groups = grouped(teacher.top[theirs], teacher.sure[theirs])
    whole = _means(lean, groups.place, groups.kept)
    return Heritage(
        by_class=groups.by_class,
        group=groups.kept,
        edges=groups.edges,
        count=np.bincount(groups.place, minlength=1)[groups.kept],
        teacher=whole[0],
        student=whole[1],
        **inherited(lean, groups)._asdict(),
    )


class Groups(NamedTuple):
    """Groups of N rows."""

    by_class: bool
    edges: Floats  # of bins of the teacher's confidence; () by class
    place: Ints  # (N,) the group of each row
    kept: Ints  # (G,) groups with enough rows


def grouped(answers: Ints, sure: Floats) -> Groups:
    """Rows by the teacher's answer (N,) where enough classes have enough of them, else by how sure it is (N,)."""
    by_class = int((np.bincount(answers) >= LEAST_ROWS).sum()) >= LEAST_GROUPS
    edges = np.zeros(0) if by_class else equal_mass(sure, GROUPS)
    place = answers if by_class else placed(sure, edges)
    return Groups(by_class, edges, place, np.flatnonzero(np.bincount(place) >= LEAST_ROWS))


class Inherited(NamedTuple):
    """A correlation and its 95 % interval; NaN where there is none."""

    correlation: float
    low: float
    high: float


def inherited(lean: Floats, groups: Groups) -> Inherited:
    """How far the gaps of both models go together, from each row's right - sure of teacher and student (2, N)."""
    first = np.random.default_rng(SEED).random(lean.shape[1]) < 0.5
    halves = [_means(lean[:, half], groups.place[half], groups.kept) for half in (first, ~first)]
    pairs = [(halves[0][0], halves[1][1]), (halves[1][0], halves[0][1])]
    varied = all(np.isfinite(side).all() and np.ptp(side) > 0 for two in pairs for side in two if len(side))
    if len(groups.kept) < LEAST_GROUPS or not varied:
        return Inherited(float("nan"), float("nan"), float("nan"))
    ranked, count = [np.corrcoef(rankdata(one), rankdata(other))[0, 1] for one, other in pairs], len(groups.kept)
    highest = 1 - 6 / (count * (count**2 - 1))  # midway from 1 to the next that so many ranks can give
    middle = float(np.arctanh(np.clip(ranked, -highest, highest)).mean())
    half = NORMAL_95 * np.sqrt(1.06 / (count - 3))
    return Inherited(*(float(np.tanh(value)) for value in (middle, middle - half, middle + half)))


def _means(lean: Floats, group: Ints, kept: Ints) -> Floats:
    """Mean of each row of (2, N) in the groups that are kept: (2, G); NaN where there are no rows."""
    size = int(kept.max(initial=0)) + 1
    here = group < size
    count = np.bincount(group[here], minlength=size)
    with np.errstate(invalid="ignore"):
        means = [np.bincount(group[here], weights=one[here], minlength=size) / count for one in lean]
    return np.stack(means)[:, kept]
