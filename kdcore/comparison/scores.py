"""Scores of a model's probabilities, each with a 95 % interval where one can be given.

A score is a function of weights (R, N): how often each of the N rows counts in each of R resamples. With all weights
one it is the score itself. An interval always holds its score, and covers the truth in at least about 95 of 100
samples of rows (simulated in tests/cases/test_score_intervals.py):

    accuracy                    Wilson's
    confidence, NLL, Brier      of a mean, by Student's t
    ECE, adaptive, smooth and   a sum of |cells|, which luck only enlarges: it reaches further down than up. By the
    class-wise ECE              triangle inequality the sum is off by at most the sum of the cells' own errors; where
                                a cell is beyond doubt above or below 0, its error counts with its sign. Class-wise
                                ECE has cells so thinly filled that resamples leave them empty: the sum of its errors
                                is taken to be at least what it would be if every probability were true.
    AURC, excess AURC           as wide as bootstrap resamples spread, by Student's t (the excess covers about 90)

Resamples of the rows (seed 0) number 100 of up to 2,500 rows and fewer of more, down to 30. Below FEWEST rows, or with
fewer than RARE right or RARE wrong answers, only the accuracy has an interval: the rows do not show how far the others
vary. Class-wise ECE has none with fewer than PER_CLASS rows a class, the parts of the Brier score and the ECE by chance
have none at all.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from scipy import fft, sparse, special, stats

from kdcore.comparison.cache import remembered
from kdcore.comparison.calibration import Forecast
from kdcore.comparison.intervals import of_mean, wilson
from kdcore.comparison.risk_coverage import by_confidence
from kdcore.probes._bins import BINS, equal_mass, equal_width, placed
from kdcore.probes._numerics import Floats, Ints

MOST, LEAST, SEED = 100, 30, 0  # resamples
FEWEST, RARE = 20, 5  # rows, and right or wrong ones, below which no spread is known
PER_CLASS = 20  # rows for each class, below which that of class-wise ECE is not known
CLEAR = 3.0  # standard errors from 0 at which a cell's sign is beyond doubt
DRAWN = 250_000  # rows of all resamples together, within these
CELLS = 512  # of the grid on which smooth ECE is computed
ROUNDS = 8  # of the search for its bandwidth, which leave less than 1e-5
NAMES = (  # in the order in which they are told
    "accuracy", "confidence", "ECE", "ECE by chance", "adaptive ECE", "smooth ECE", "class-wise ECE", "NLL", "Brier",
    "reliability", "resolution", "uncertainty", "within bins", "AURC", "excess AURC",
)  # fmt: skip
RANGES = {"NLL": (0.0, np.inf), "Brier": (0.0, 2.0)}  # others are fractions
Weights = np.ndarray  # (R, N)


class ComparisonScore(NamedTuple):
    """A number and the interval around it; NaN where there is none."""

    value: float
    low: float
    high: float


def scores(one: Forecast) -> dict[str, ComparisonScore]:
    """Lower is better, except accuracy, confidence and resolution. Brackets: 95 % intervals, given enough rows.

    By name; {} without rows. "ECE by chance" is what the ECE would be if every confidence were true.
    """
    if not len(one):
        return {}
    plain = np.ones((1, len(one)))
    found = {"ECE by chance": by_chance(one)}
    for measure in (_means, ece, adaptive_ece, smooth_ece, by_class, aurc):
        found |= {name: float(value[0]) for name, value in measure(one, plain).items()}
    around = intervals(one, found)
    return {name: _bounded(found[name], around.get(name), *RANGES.get(name, (0.0, 1.0))) for name in NAMES}


def _bounded(value: float, ends: tuple[float, float] | None, least: float, most: float) -> ComparisonScore:
    """Return a score and its interval within what is possible; none where the rows all say the same, or no number."""
    if ends is None or not np.isfinite(ends).all() or ends[1] - ends[0] < 1e-9:
        return ComparisonScore(value, float("nan"), float("nan"))
    return ComparisonScore(value, min(max(ends[0], least), value), max(min(ends[1], most), value))


def intervals(one: Forecast, found: dict[str, float]) -> dict[str, tuple[float, float]]:
    """From where to where, of those scores that have an interval."""
    right, rows = int(one.right.sum()), len(one)
    low, high = wilson(np.array([right]), np.array([rows]))
    around = {"accuracy": (float(low[0]), float(high[0]))}
    if rows < FEWEST or min(right, rows - right) < RARE:
        return around
    drawn = resamples(rows)
    around |= {name: _mean_ends(values) for name, values in _each(one).items() if name != "accuracy"}
    plain = np.ones((1, rows))
    luck = {"class-wise ECE": _class_luck(one)}
    around |= {
        name: _of_absolutes(cells(one, drawn), cells(one, plain)[0], luck.get(name, 0.0))
        for name, cells in CELLED.items()
        if name not in luck or rows >= PER_CLASS * one.log_q.shape[1]
    }
    return around | {name: _spread(found[name], values) for name, values in aurc(one, drawn).items()}


def _mean_ends(values: Floats) -> tuple[float, float]:
    """Of the mean of values (N,)."""
    with np.errstate(invalid="ignore"):  # of values that are infinite
        low, high = of_mean(values)
    return float(low), float(high)


def _spread(value: float, drawn: Floats) -> tuple[float, float]:
    """Of a score, as wide as its resamples (R,) make it."""
    reach = float(stats.t.ppf(0.975, len(drawn) - 1)) * float(drawn.astype(np.float64).std(ddof=1))
    return value - reach, value + reach


def _of_absolutes(drawn: Floats, cells: Floats, luck: float) -> tuple[float, float]:
    """Of the sum of |cells| (K,), whose resamples are (R, K) and whose errors sum to at least `luck` on average."""
    apart = drawn.astype(np.float64) - cells
    clear = np.abs(cells) > CLEAR * apart.std(0, ddof=1)
    signed = apart * np.sign(cells)
    error = np.where(clear, signed, np.abs(apart)).sum(1)
    quantile = float(stats.t.ppf(0.975, len(drawn) - 1))
    reach = quantile * max(float(error.std(ddof=1)), float(signed.sum(1).std(ddof=1)))
    value = float(np.abs(cells).sum())
    return value - max(float(error.mean()), luck) - reach, value + reach


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
    each = _each(one)
    with np.errstate(invalid="ignore"):
        found = weights @ np.stack(list(each.values()), axis=1).astype(weights.dtype) / len(one)
    return dict(zip(each, found.T, strict=True))


def _each(one: Forecast) -> dict[str, Floats]:
    """Return what those are means of, (N,)."""
    held = one.log_q[np.arange(len(one)), one.labels]
    brier = one.log_q.each(_squared) - 2 * np.exp(held) + 1
    return {"accuracy": one.right.astype(np.float64), "confidence": one.sure, "NLL": -held, "Brier": brier}


def _squared(log_q: Floats, _: slice) -> Floats:
    q = np.exp(log_q)
    found: Floats = np.einsum("nc,nc->n", q, q)
    return found


def ece(one: Forecast, weights: Weights) -> dict[str, Floats]:
    """Return expected calibration error in 15 bins of equal width, the bins' |accuracy - confidence| weighted by
    rows.
    """
    return {"ECE": np.abs(_binned(one, weights, equal_width())).sum(1)}


def adaptive_ece(one: Forecast, weights: Weights) -> dict[str, Floats]:
    """Return the same in 15 bins of equal mass; resamples keep the bins of the rows."""
    return {"adaptive ECE": np.abs(_binned(one, weights, equal_mass(one.sure))).sum(1)}


def _binned(one: Forecast, weights: Weights, edges: Floats) -> Floats:
    """Return sums of right - sure in each bin, over all rows: (R, B)."""
    lean = np.zeros((len(one), len(edges) - 1), dtype=weights.dtype)
    lean[np.arange(len(one)), placed(one.sure, edges)] = one.right - one.sure
    found: Floats = weights @ lean / len(one)
    return found


def smooth_ece(one: Forecast, weights: Weights) -> dict[str, Floats]:
    """SmoothECE: the mean |residual| after smoothing by a Gaussian, reflected at 0 and 1, whose width is the result.

    The residuals lie on a grid of CELLS; smoothing with reflection multiplies their cosine transform.

    Source: Blasiok and Nakkiran, Smooth ECE: Principled Reliability Diagrams via Kernel Smoothing, ICLR 2024.
    """
    spectrum = fft.dct(_gridded(one, weights), axis=1)

    def over(width: Floats) -> Floats:
        """By how much the result is more than the width: it falls with it, so one width is its own result."""
        found: Floats = np.abs(_smoothed(spectrum, width)).sum(1) / len(one) - width
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


def _smoothed(spectrum: Floats, width: Floats) -> Floats:
    """Residuals (R, CELLS) of a cosine transform, smoothed by Gaussians of some widths (R,)."""
    squares = ((np.pi * np.arange(CELLS)) ** 2 / 2).astype(spectrum.dtype)
    found: Floats = fft.idct(spectrum * np.exp(-squares * width.astype(spectrum.dtype)[:, None] ** 2), axis=1)
    return found


def _smooth_cells(one: Forecast, weights: Weights) -> Floats:
    """Smoothed residuals (R, CELLS), all by the width that is the score of the rows themselves."""
    width = smooth_ece(one, np.ones((1, len(one))))["smooth ECE"]
    return _smoothed(fft.dct(_gridded(one, weights), axis=1), width) / len(one)


def _gridded(one: Forecast, weights: Weights) -> Floats:
    """Return sums of right - sure (R, CELLS), each row shared by the two cells whose centres it lies between."""
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


def _class_cells(one: Forecast, weights: Weights) -> Floats:
    """Return what class-wise ECE sums the absolute values of: (R, C * BINS)."""
    _, claimed, held = _tables(one, weights)
    found: Floats = (claimed - held).reshape(-1, len(weights)).T / len(one) / one.log_q.shape[1]
    return found


def _class_luck(one: Forecast) -> float:
    """Return the class-wise ECE to expect if every probability were true.

    A cell's count is a sum of Bernoulli variables; its mean absolute deviation is that of a Poisson variable of the
    same variance, which is right for rare classes, for near certain ones and, as both are normal there, for full cells.

    Source: Crow, The Mean Deviation of the Poisson Distribution, Biometrika 45, 1958.
    """
    _, classes, held = _likely(one)
    size = one.log_q.shape[1]
    cell = classes * BINS + placed(held, equal_width())
    variance = np.bincount(cell, held * (1 - held), size * BINS).reshape(-1, BINS)
    parts = (np.exp(log_q) for _, log_q in one.log_q.blocks())
    variance[:, 0] = sum((q * (1 - q)).sum(0) for q in parts) - variance.sum(1)
    known = variance[variance > 0]
    deviation = 2 * np.exp((np.floor(known) + 1) * np.log(known) - known - special.gammaln(np.floor(known) + 1))
    return float(deviation.sum()) / (len(one) * size)


def _tables(one: Forecast, weights: Weights) -> tuple[Floats, Floats, Floats]:
    """Rows, summed probability and summed truth (C, BINS, R) of each class's probability by its bin.

    Nearly all probabilities lie in the first bin: it is what the others leave of the whole.
    """
    exact, size, often = weights.dtype, one.log_q.shape[1], np.ascontiguousarray(weights.T)
    rows, classes, held = _likely(one)
    cell = classes * BINS + placed(held, equal_width())
    labelled = sparse.csr_array((np.ones(len(one), exact), (one.labels, np.arange(len(one)))), (size, len(one)))
    claimed: Any = sum(np.exp(log_q).astype(exact).T @ often[at] for at, log_q in one.log_q.blocks())
    wholes = (often.sum(0)[None], claimed, labelled @ often)
    sums: list[Any] = [np.ones(len(rows), exact), held.astype(exact), (classes == one.labels[rows]).astype(exact)]
    tables = []
    for whole, values in zip(wholes, sums, strict=True):
        spread = sparse.csr_array((values, (cell, rows)), (size * BINS, len(one)))
        table = np.asarray(spread @ often).reshape(size, BINS, -1)
        table[:, 0] = whole - table.sum(1)
        tables.append(table)
    return tables[0], tables[1], tables[2]


@remembered
def _likely(one: Forecast) -> tuple[Ints, Ints, Floats]:
    """Rows, classes and probabilities of those that lie beyond the first bin; few do, as a row's add up to 1."""
    found = []
    for at, log_q in one.log_q.blocks():
        q = np.exp(log_q)
        rows, classes = np.nonzero(q >= equal_width()[1])
        found.append((rows + at.start, classes, q[rows, classes]))
    rows, classes, held = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return rows, classes, held


def aurc(one: Forecast, weights: Weights) -> dict[str, Floats]:
    """Area under the risk-coverage curve, and its excess over what the accuracy allows (`risk_coverage`).

    In a resample, copies of a row enter together, and those equally sure with the mean error that they have there.
    """
    order, first = by_confidence(one)
    often = np.ascontiguousarray(weights.T)[order]
    answered = often.cumsum(axis=0)
    wrong = np.add.reduceat(often * ~one.right[order, None], first, axis=0)
    wrong /= np.maximum(np.add.reduceat(often, first, axis=0), 1)
    failed = np.cumsum(often * np.repeat(wrong, np.diff(first, append=len(one)), axis=0), axis=0)
    least = _oracle(len(one), failed[-1])
    failed /= np.maximum(answered, 1, out=answered)
    area = np.einsum("nr,nr->r", often, failed) / len(one)
    return {"AURC": area, "excess AURC": area - least}


def _oracle(rows: int, errors_all: Floats) -> Floats:
    """Return the least AURC of N rows with so many errors (R,), all of them last."""
    place = np.arange(1, rows + 1)
    harmonic = np.concatenate([[0.0], np.cumsum(1 / place)])
    wrong = np.clip(errors_all, 0, rows)
    right = rows - wrong
    passed = np.interp(right, np.arange(rows + 1), harmonic)
    return np.asarray((wrong - right * (harmonic[-1] - passed)) / rows)


def by_chance(one: Forecast, draws: int = 50) -> float:
    """Return the ECE that these confidences would show on average if every one of them were true; NaN without rows.

    Source: Broecker and Smith, Increasing the Reliability of Reliability Diagrams, Weather and Forecasting 22, 2007.
    """
    if not len(one):
        return float("nan")
    luck = np.random.default_rng(SEED).random((draws, len(one)), dtype=np.float32) < one.sure
    place = np.zeros((len(one), BINS), dtype=np.float32)
    place[np.arange(len(one)), placed(one.sure, equal_width())] = 1
    return float((np.abs((luck - one.sure).astype(np.float32) @ place).sum(1) / len(one)).mean())


CELLED: dict[str, Callable[[Forecast, Weights], Floats]] = {  # scores that are sums of |cells|
    "ECE": lambda one, weights: _binned(one, weights, equal_width()),
    "adaptive ECE": lambda one, weights: _binned(one, weights, equal_mass(one.sure)),
    "smooth ECE": _smooth_cells,
    "class-wise ECE": _class_cells,
}
