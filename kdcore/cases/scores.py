"""Scores of a model's probabilities, each with an interval.

A score is a function of weights (R, N): how often each of the N rows counts in each of R resamples. With all weights
one it is the score s itself. Intervals hold 95 % and come from R bootstrap resamples of the rows (seed 0), 100 of up to
2,500 rows and fewer of more, down to 30, with mean m and standard deviation d: s - (m - s) -+ t d, within what is
possible, where t is the quantile of Student's distribution with R - 1 degrees of freedom. The error of a resample is
larger than that of the rows by about as much as theirs is than the true one, so the interval lies on the other side
(the normal approximation of Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 5.2; a
deviation needs fewer resamples than a quantile).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from scipy import fft, sparse, stats

from kdcore.cases.calibration import Forecast
from kdcore.cases.risk import errors
from kdcore.probes._bins import BINS, equal_mass, equal_width, placed
from kdcore.probes._numerics import Floats

MOST, LEAST, SEED = 100, 30, 0  # resamples
DRAWN = 250_000  # rows of all resamples together, within these
CELLS = 512  # of the grid on which smooth ECE is computed
ROUNDS = 8  # of the search for its bandwidth, which leave less than 1e-5
NAMES = (  # in the order in which they are told
    "accuracy", "confidence", "ECE", "ECE by chance", "adaptive ECE", "smooth ECE", "class-wise ECE", "NLL", "Brier",
    "reliability", "resolution", "uncertainty", "within bins", "AURC", "excess AURC",
)  # fmt: skip
RANGES = {"NLL": (0.0, np.inf), "Brier": (0.0, 2.0), "within bins": (-np.inf, np.inf)}  # others are fractions
Weights = np.ndarray  # (R, N)


class Score(NamedTuple):
    """A number and the interval around it; NaN where there is none."""

    value: float
    low: float
    high: float


def scores(one: Forecast) -> dict[str, Score]:
    """Lower is better, but for accuracy, confidence, resolution. An interval below its score: much of it is chance.

    By name; {} without rows. "ECE by chance" is what the ECE would be if every confidence were true. Near it, intervals
    of the four calibration errors still lie too high: of true confidences (1,000 rows, 5 classes, 150 samples) those of
    the ECE held the truth 67 times in 100, of the adaptive 49, of the smooth 31, of the class-wise once; of confidences
    that are off, 95 to 98.
    """
    if not len(one):
        return {}
    drawn = resamples(len(one))
    found = {"ECE by chance": Score(by_chance(one), float("nan"), float("nan"))}
    for measure in (_means, ece, adaptive_ece, smooth_ece, by_class, aurc):
        values, spread = measure(one, np.ones((1, len(one)))), measure(one, drawn)
        for name, value in values.items():
            found[name] = _interval(float(value[0]), spread[name], *RANGES.get(name, (0.0, 1.0)))
    return {name: found[name] for name in NAMES}


def _interval(value: float, spread: Floats, least: float, most: float) -> Score:
    if not np.isfinite(spread).all():
        return Score(value, float("nan"), float("nan"))
    spread = spread.astype(np.float64)  # squares of float32 may be too large for it
    quantile = float(stats.t.ppf(0.975, len(spread) - 1))
    middle, reach = 2 * value - float(spread.mean()), quantile * float(spread.std(ddof=1))
    return Score(value, *(min(max(end, least), most) for end in (middle - reach, middle + reach)))


@lru_cache(4)
def resamples(rows: int) -> Weights:
    """How often each row is drawn, (R, rows) float32; the same for every model, to compare them."""
    count = min(max(DRAWN // rows, LEAST), MOST)
    drawn = np.random.default_rng(SEED).integers(rows, size=(count, rows), dtype=np.int32)
    drawn += np.arange(count, dtype=np.int32)[:, None] * rows
    counts = np.bincount(drawn.ravel(), minlength=count * rows)
    return counts.reshape(count, rows).astype(np.float32)


def _means(one: Forecast, weights: Weights) -> dict[str, Floats]:
    """Means over rows: accuracy, confidence, NLL in nats, and the Brier score, 0 to 2.

    That is the squared distance of the probabilities from those that name the label.

    Source: Brier, Verification of Forecasts Expressed in Terms of Probability, Monthly Weather Review 78, 1950.
    """
    held = one.log_q[np.arange(len(one)), one.labels]
    each = {"accuracy": one.right, "confidence": one.sure, "NLL": -held}
    each["Brier"] = np.einsum("nc,nc->n", one.q, one.q) - 2 * np.exp(held) + 1
    with np.errstate(invalid="ignore"):
        found = weights @ np.stack(list(each.values()), axis=1).astype(weights.dtype) / len(one)
    return dict(zip(each, found.T, strict=True))


def ece(one: Forecast, weights: Weights) -> dict[str, Floats]:
    """Expected calibration error in 15 bins of equal width, the bins' |accuracy - confidence| weighted by rows."""
    return {"ECE": _binned(one, weights, equal_width())}


def adaptive_ece(one: Forecast, weights: Weights) -> dict[str, Floats]:
    """The same in 15 bins of equal mass; resamples keep the bins of the rows."""
    return {"adaptive ECE": _binned(one, weights, equal_mass(one.sure))}


def _binned(one: Forecast, weights: Weights, edges: Floats) -> Floats:
    lean = np.zeros((len(one), len(edges) - 1), dtype=weights.dtype)
    lean[np.arange(len(one)), placed(one.sure, edges)] = one.right - one.sure
    found: Floats = np.abs(weights @ lean).sum(1) / len(one)
    return found


def smooth_ece(one: Forecast, weights: Weights) -> dict[str, Floats]:
    """SmoothECE: the mean |residual| after smoothing by a Gaussian, reflected at 0 and 1, whose width is the result.

    The residuals lie on a grid of CELLS; smoothing with reflection multiplies their cosine transform.

    Source: Blasiok and Nakkiran, Smooth ECE: Principled Reliability Diagrams via Kernel Smoothing, ICLR 2024.
    """
    spectrum = fft.dct(_gridded(one, weights), axis=1)
    squares = ((np.pi * np.arange(CELLS)) ** 2 / 2).astype(weights.dtype)

    def over(width: Floats) -> Floats:
        """By how much the result is more than the width: it falls with it, so one width is its own result."""
        kept = spectrum * np.exp(-squares * width.astype(weights.dtype)[:, None] ** 2)
        found: Floats = np.abs(fft.idct(kept, axis=1)).sum(1) / len(one) - width
        return found

    far, near = np.full(len(weights), 2.0), np.full(len(weights), 1 / CELLS)  # no result is more than 1
    past, rest = over(far), over(near)
    for _ in range(ROUNDS):  # regula falsi with Illinois' halving
        slope = np.where(past == rest, np.inf, (rest - past) / (near - far))
        width = np.clip(near - rest / slope, 1 / CELLS, 1.0)
        left = over(width)
        crossed = left * rest < 0
        far, past = np.where(crossed, near, far), np.where(crossed, rest, past / 2)
        near, rest = width, left
    return {"smooth ECE": near + rest}


def _gridded(one: Forecast, weights: Weights) -> Floats:
    """Sums of right - sure (R, CELLS), each row shared by the two cells whose centres it lies between."""
    at = np.clip(one.sure * CELLS - 0.5, 0.0, CELLS - 1.0)
    below = np.minimum(at.astype(np.int64), CELLS - 2)
    lean, rows = one.right - one.sure, np.arange(len(one))
    values = np.concatenate([lean * (below + 1 - at), lean * (at - below)]).astype(weights.dtype)
    spread = sparse.csr_array((values, (np.tile(rows, 2), np.concatenate([below, below + 1]))), (len(one), CELLS))
    return np.asarray((spread.T @ weights.T).T)


def by_class(one: Forecast, weights: Weights) -> dict[str, Floats]:
    """Class-wise ECE, and the parts of the Brier score, of every class's probability in 15 bins of equal width.

    Class-wise ECE is the mean over classes of the ECE of "it is class k". The parts are sums over classes:
    reliability - resolution + uncertainty is the Brier score of the forecast that says each bin's mean; what the
    forecast itself has beyond that is "within bins".

    Source: Kull et al., Beyond Temperature Scaling, NeurIPS 2019 (class-wise ECE); Murphy, A New Vector Partition of
    the Probability Score, Journal of Applied Meteorology 12, 1973; Stephenson, Coelho and Jolliffe, Two Extra
    Components in the Brier Score Decomposition, Weather and Forecasting 23, 2008 (within bins).
    """
    count, claimed, held = _tables(one, weights)
    rows, classes = len(one), len(count)
    lean, base = claimed - held, held.sum(1) / rows
    each = 1 / np.maximum(count, 1e-12)
    found = {
        "reliability": np.einsum("cbr,cbr,cbr->r", lean, lean, each) / rows,
        "resolution": np.einsum("cbr,cbr,cbr->r", held, held, each) / rows - (base * base).sum(0),
        "uncertainty": (base * (1 - base)).sum(0),
    }
    within = _means(one, weights)["Brier"] - found["reliability"] + found["resolution"] - found["uncertainty"]
    return {"class-wise ECE": np.abs(lean).sum((0, 1)) / rows / classes, **found, "within bins": within}


def _tables(one: Forecast, weights: Weights) -> tuple[Floats, Floats, Floats]:
    """Rows, summed probability and summed truth (C, BINS, R) of each class's probability by its bin.

    Nearly all probabilities lie in the first bin: it is what the others leave of the whole.
    """
    q, size, often = one.q.astype(weights.dtype), one.q.shape[1], np.ascontiguousarray(weights.T)
    rows, classes = np.nonzero(q >= equal_width()[1])
    cell = classes * BINS + placed(q[rows, classes], equal_width())
    labelled = sparse.csr_array((np.ones(len(one), q.dtype), (one.labels, np.arange(len(one)))), (size, len(one)))
    wholes = (often.sum(0)[None], q.T @ often, labelled @ often)
    sums: list[Any] = [np.ones(len(rows), q.dtype), q[rows, classes], (classes == one.labels[rows]).astype(q.dtype)]
    tables = []
    for whole, values in zip(wholes, sums, strict=True):
        spread = sparse.csr_array((values, (cell, rows)), (size * BINS, len(one)))
        table = np.asarray(spread @ often).reshape(size, BINS, -1)
        table[:, 0] = whole - table.sum(1)
        tables.append(table)
    return tables[0], tables[1], tables[2]


def aurc(one: Forecast, weights: Weights) -> dict[str, Floats]:
    """Area under the risk-coverage curve, and its excess over what the accuracy allows; see `kdcore.cases.risk`.

    In a resample, copies of a row enter together.
    """
    order, wrong = errors(one)
    often = np.ascontiguousarray(weights.T)[order]
    answered = often.cumsum(axis=0)
    failed = np.cumsum(often * wrong.astype(weights.dtype)[:, None], axis=0)
    least = _oracle(len(one), failed[-1])
    failed /= np.maximum(answered, 1, out=answered)
    area = np.einsum("nr,nr->r", often, failed) / len(one)
    return {"AURC": area, "excess AURC": area - least}


def _oracle(rows: int, errors_all: Floats) -> Floats:
    """The least AURC of N rows with so many errors (R,), all of them last."""
    place = np.arange(1, rows + 1)
    harmonic = np.concatenate([[0.0], np.cumsum(1 / place)])
    wrong = np.clip(errors_all, 0, rows)
    right = rows - wrong
    passed = np.interp(right, np.arange(rows + 1), harmonic)
    return np.asarray((wrong - right * (harmonic[-1] - passed)) / rows)


def by_chance(one: Forecast, draws: int = 50) -> float:
    """The ECE that these confidences would show on average if every one of them were true; NaN without rows.

    Source: Broecker and Smith, Increasing the Reliability of Reliability Diagrams, Weather and Forecasting 22, 2007.
    """
    if not len(one):
        return float("nan")
    luck = np.random.default_rng(SEED).random((draws, len(one)), dtype=np.float32) < one.sure
    place = np.zeros((len(one), BINS), dtype=np.float32)
    place[np.arange(len(one)), placed(one.sure, equal_width())] = 1
    return float((np.abs((luck - one.sure).astype(np.float32) @ place).sum(1) / len(one)).mean())
