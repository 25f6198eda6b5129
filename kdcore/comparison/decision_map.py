"""A decision map: rows laid out by how differently models see them, and what the models say of the places between.

Arrays of `map.npz`: those of a plane (`kdcore.comparison.plane`), and x, y (N,) places, NaN of rows that were not
mapped; weight () of the Euclidean distance, segments (), nearest () and fidelity () of teacher and student, (1 or 2,)
each.

Source: Schulz, Hinder and Hammer, DeepView: Visualizing Classification Boundaries of Deep Neural Networks as Scatter
Plots Using Discriminative Dimensionality Reduction, IJCAI 2020. Ours departs from it: with two models the mean of both
distances counts; both parts are scaled to a mean of 1 before they are mixed; and the way back from the map to pixels
is an interpolation between the nearest rows in place of UMAP's inverse.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kdcore.probes._numerics import Floats, Ints
from kdcore.runs.record import Arrays

NEAREST = 5  # rows that are asked what a place is
BETWEEN = 8  # rows whose pixels a place is made of


def jensen_shannon(p: Floats, q: Floats) -> Floats:
    """(...,) the metric between distributions (..., C): the root of their Jensen-Shannon divergence in nats.

    Source: Endres and Schindelin, A New Metric for Probability Distributions, IEEE Transactions on Information Theory
    49, 2003.
    """
    middle = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        surprise = [np.where(one > 0, one * np.log(one / middle), 0.0).sum(-1) for one in (p, q)]
    found: Floats = np.sqrt(np.maximum((surprise[0] + surprise[1]) / 2, 0.0))
    return found


def lengths(shares: Floats) -> Floats:
    """(M,) how much a model changes its mind along M lines: probabilities (M, S + 1, C) at the ends of S segments."""
    found: Floats = jensen_shannon(shares[:, :-1], shares[:, 1:]).sum(1)
    return found


def discriminative(euclid: Floats, told: Floats, weight: float) -> Floats:
    """(n, n) weight * Euclid + (1 - weight) * told, each first divided by its mean over pairs; with 1 it is Euclid."""
    parts = [part / part.mean() if part.any() else part for part in (euclid, told)]
    return weight * parts[0] + (1 - weight) * parts[1]


def matrix(pairs: Floats, count: int) -> Floats:
    """(count, count), symmetric with a zero diagonal, of the pairs i < j in the order of `numpy.triu_indices`."""
    found = np.zeros((count, count))
    found[np.triu_indices(count, 1)] = pairs
    return found + found.T


def back(places: Floats, known: Floats, values: np.ndarray, between: int = BETWEEN) -> Floats:
    """(G, F) what lies at places (G, 2) of a map whose rows (n, F) lie at known places (n, 2): a mean of the nearest.

    Weights are ((R - d) / (R d))^2 of distance d, R that of the next row beyond them, so that a row's own place gives
    the row and nothing jumps (Franke and Nielson, Smooth Interpolation of Large Sets of Scattered Data, International
    Journal for Numerical Methods in Engineering 15, 1980).
    """
    between = min(between, len(known) - 1)
    found = np.empty((len(places), values.shape[1]))
    for at in range(0, len(places), 1024):
        far = np.maximum(np.linalg.norm(places[at : at + 1024, None] - known, axis=-1), 1e-9)
        nearest = np.argsort(far, axis=1, kind="stable")[:, : between + 1]
        near = np.take_along_axis(far, nearest, axis=1)
        edge, near = near[:, -1:], near[:, :-1]
        weights = ((edge - near) / (edge * near)) ** 2 + 1e-30  # the last keeps rows that are all as far
        weights /= weights.sum(1, keepdims=True)
        found[at : at + 1024] = np.einsum("gk,gkf->gf", weights, values[nearest[:, :-1]])
    return found


def agreed(places: Floats, answers: Ints, nearest: int = NEAREST) -> float:
    """Q_kNN: share of rows (n, 2) whose answer is the one most common among their nearest on the map."""
    nearest = min(nearest, len(places) - 1)
    far = np.linalg.norm(places[:, None] - places, axis=-1)
    np.fill_diagonal(far, np.inf)
    votes = answers[np.argsort(far, axis=1, kind="stable")[:, :nearest]]
    most = np.array([np.bincount(vote).argmax() for vote in votes])
    return float((most == answers).mean())


def fidelity(classes: Ints, extent: np.ndarray, places: Floats, answers: Ints) -> float:
    """Share of rows whose place on the map (R, R) shows the model's own answer to the row."""
    x0, x1, y0, y1 = extent
    size = len(classes) - 1
    column = np.rint((places[:, 0] - x0) / (x1 - x0) * size).astype(int).clip(0, size)
    row = np.rint((places[:, 1] - y0) / (y1 - y0) * size).astype(int).clip(0, size)
    return float((classes[row, column] == answers).mean())


@dataclass(frozen=True)
class Mapped:
    """What a map is worth, of teacher and student, or of the student alone."""

    rows: Ints  # (n,) that were mapped
    places: Floats  # (n, 2)
    nearest: Floats  # (1 or 2,)
    fidelity: Floats  # (1 or 2,)


def mapped(found: Arrays) -> Mapped:
    """Samples the models find similar lie close; the colour in between is each model's prediction for mixtures."""
    rows = np.flatnonzero(np.isfinite(found["x"]))
    places = np.stack((found["x"], found["y"]), axis=1)[rows]
    return Mapped(rows, places, found["nearest"], found["fidelity"])
