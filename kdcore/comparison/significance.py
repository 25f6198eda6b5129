"""Whether some rows are worse than others beyond chance: rank sums, shares, and many tests at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr
from scipy.stats import false_discovery_control, hypergeom, rankdata

from kdcore.probes._numerics import Floats, Ints

Bools = NDArray[np.bool_]


class Worse(NamedTuple):
    """How much larger the values of some rows are than those of the others."""

    share: float  # of pairs of one of them and another row, those where its value is larger; ties count half
    z: float
    p: float  # one-sided


def worse(values: Floats, inside: Bools) -> Worse:
    """Return the rank-sum test that values (N,) are larger inside (N,) than outside; nothing where one of both is
    empty.

    The normal approximation, with ties and continuity corrected.

    Source: Mann and Whitney, On a Test of Whether one of Two Random Variables is Stochastically Larger than the Other,
    Annals of Mathematical Statistics 18, 1947.
    """
    first, rows = int(inside.sum()), len(values)
    second = rows - first
    placed = rankdata(values)
    spread = np.sqrt(first * second / max(rows - 1, 1) * placed.var()) if rows else 0.0
    if spread == 0:
        return Worse(0.5, 0.0, 1.0)
    larger = placed[inside].sum() - first * (first + 1) / 2
    z = (larger - first * second / 2 - 0.5) / spread
    return Worse(float(larger / (first * second)), float(z), float(ndtr(-z)))


def discovered(p: Floats) -> Floats:
    """Return the smallest rate of false discoveries (T,) at which each of several tests with these p (T,) still counts.

    Source: Benjamini and Hochberg, Controlling the False Discovery Rate, Journal of the Royal Statistical Society B 57,
    1995.
    """
    return np.asarray(false_discovery_control(p.clip(0, 1)), dtype=np.float64)  # rounding may leave a p just above 1


def more_often(hits: Ints, rows: Ints, all_hits: int, all_rows: int) -> Floats:
    """One-sided p (T,) that `hits` of `rows` are more than a draw from `all_hits` of `all_rows` would give.

    Source: Fisher, The Logic of Inductive Inference, Journal of the Royal Statistical Society 98, 1935.
    """
    return np.asarray(hypergeom.sf(hits - 1, all_rows, all_hits, rows), dtype=np.float64)
