"""Rows in bins of confidence: how sure a network is, and how often it is right. All about reliability begins here."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kdcore.probes._numerics import Floats, Ints

BINS = 15
NORMAL_95 = 1.959964  # standard errors to either side that hold 95 % of a normal distribution


@dataclass(frozen=True)
class Bins:
    """B bins, ascending: bin b holds confidences from edges[b] up to, but without, edges[b + 1], the last one both.

    Confidence and accuracy are NaN where a bin is empty.
    """

    edges: Floats  # (B + 1,)
    count: Ints  # (B,) rows
    confidence: Floats  # (B,) mean over the bin's rows
    accuracy: Floats  # (B,)

    @property
    def gap(self) -> Floats:
        """(B,) accuracy minus confidence: below zero the network is surer than it is right."""
        return self.accuracy - self.confidence

    @property
    def ece(self) -> float:
        """Expected calibration error: the mean over rows of their bin's |gap|, a fraction; NaN without rows.

        Source: Naeini, Cooper and Hauskrecht, Obtaining Well Calibrated Probabilities Using Bayesian Binning, AAAI
        2015.
        """
        rows = self.count.sum()
        return float(np.nansum(self.count * np.abs(self.gap)) / rows) if rows else float("nan")

    @property
    def interval(self) -> tuple[Floats, Floats]:
        """(B,) and (B,): between which the true accuracy lies with 95 %; NaN where a bin is empty.

        Source: Wilson, Probable Inference, the Law of Succession, and Statistical Inference, JASA 22, 1927.
        """
        with np.errstate(invalid="ignore", divide="ignore"):
            shrink = NORMAL_95**2 / self.count
            middle = (self.accuracy + shrink / 2) / (1 + shrink)
            spread = self.accuracy * (1 - self.accuracy) / self.count + shrink / self.count / 4
            half = NORMAL_95 * np.sqrt(spread) / (1 + shrink)
        return np.maximum(middle - half, 0.0), np.minimum(middle + half, 1.0)


def equal_width(bins: int = BINS) -> Floats:
    """Edges (bins + 1,) of bins that are equally wide."""
    return np.arange(bins + 1) / bins


def equal_mass(confidence: Floats, bins: int = BINS) -> Floats:
    """Edges of bins that hold equally many of the rows (N,).

    Equal confidences stay together in the upper bin, so there may be fewer bins, and none is empty.

    Source: Nguyen and O'Connor, Posterior Calibration and Exploratory Analysis for NLP Models, EMNLP 2015.
    """
    if not len(confidence):
        return np.array([0.0, 1.0])
    ordered = np.sort(confidence)
    inner = np.unique(ordered[np.arange(1, bins) * len(ordered) // bins])
    return np.concatenate([[0.0], inner[inner > ordered[0]], [1.0]])


def placed(confidence: Floats, edges: Floats) -> Ints:
    """The bin of each row, (N,)."""
    return np.searchsorted(edges[1:-1], confidence, side="right").astype(np.int64)


def binned(confidence: Floats, right: NDArray[np.bool_], edges: Floats) -> Bins:
    """Rows (N,) by how sure the network is of its answer, and whether it is right."""
    place, bins = placed(confidence, edges), len(edges) - 1
    count = np.bincount(place, minlength=bins)
    claimed = np.bincount(place, weights=confidence, minlength=bins)
    kept = np.bincount(place, weights=right, minlength=bins)
    with np.errstate(invalid="ignore"):
        return Bins(edges, count, claimed / count, kept / count)
