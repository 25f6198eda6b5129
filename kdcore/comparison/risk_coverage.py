"""What it gains a model to stay silent where it is unsure: risk against coverage."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kdcore.comparison.calibration import Forecast
from kdcore.probes._numerics import Floats, Ints, thinned

POINTS = 200  # of the curve that is drawn


@dataclass(frozen=True)
class Risk:
    """The K points of a curve, thinned evenly where there are more rows."""

    coverage: Floats  # (K,) share of the rows that are answered, the surest first
    risk: Floats  # (K,) share of errors among them
    least: Floats  # (K,) the same, were every error the least sure
    aurc: float  # mean of risk over all coverages
    oracle: float  # the same of `least`: what this accuracy allows
    rows: int

    @property
    def excess(self) -> float:
        """AURC above the oracle's: what the order of confidence costs."""
        return self.aurc - self.oracle


def risk_coverage(one: Forecast) -> Risk:
    """Error rate if only the most confident predictions are made: a low start means confidence can be trusted.

    Rows that are equally sure are taken in together, with their mean error.

    Source: Geifman, Uziel and El-Yaniv, Bias-Reduced Uncertainty Estimation for Deep Neural Classifiers, ICLR 2019
    (AURC and its excess).
    """
    rows = np.arange(1, len(one) + 1)
    order, first = by_confidence(one)
    size = np.diff(first, append=len(one))
    wrong = np.repeat(np.add.reduceat(~one.right[order], first, dtype=float) / size, size) if len(one) else np.empty(0)
    risk = np.cumsum(wrong) / rows
    least = np.maximum(rows - (len(one) - wrong.sum()), 0.0) / rows
    shown = thinned(len(one), POINTS)
    aurc, oracle = (float(values.mean()) if len(one) else float("nan") for values in (risk, least))
    return Risk(rows[shown] / max(len(one), 1), risk[shown], least[shown], aurc, oracle, len(one))


def by_confidence(one: Forecast) -> tuple[Ints, Ints]:
    """Return the order (N,) of the rows from the surest on, and where in it (G,) each group of equally sure ones
    begins.
    """
    order = np.argsort(-one.sure, kind="stable")
    return order, np.unique(-one.sure[order], return_index=True)[1]
