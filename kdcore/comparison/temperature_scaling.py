"""One temperature for all of a student's logits, fitted on rows other than those it is shown on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr

from kdcore.comparison.cache import kept
from kdcore.comparison.calibration import Forecast, forecast
from kdcore.comparison.case import Case, Rows
from kdcore.comparison.log_probabilities import Logs
from kdcore.comparison.selection import Bools
from kdcore.errors import BadInput
from kdcore.probes._bins import binned, equal_width
from kdcore.probes._numerics import Floats, Ints, mean, softmax
from kdcore.runs.record import written_ns

COLDEST, HOTTEST = 0.05, 20.0  # between which a temperature is sought
TASK = "temperature"  # fits on validation rows where the case's are others
SEED = 0  # of the two halves
CURVE = 30  # temperatures of the strip: 1 / T in equal steps
STEP = 0.1  # of 1 / T, so that the strip goes from T = 10 to T = 1/3


def fitted(logits: np.ndarray, labels: Ints) -> float:
    """Return the temperature T that minimises the NLL of logits (N, C) / T, between COLDEST and HOTTEST.

    NLL is convex in 1 / T, so its slope, the mean over rows of the expected logit minus the label's, has one root. A
    network that is right on every row has none: the colder, the better, and COLDEST is the answer.

    Raises:
        BadInput: no row has a label.

    Source: Guo, Pleiss, Sun and Weinberger, On Calibration of Modern Neural Networks, ICML 2017, section 4.2.
    """
    known = (labels >= 0) & np.isfinite(logits).all(axis=1)
    if not known.any():
        raise BadInput("A temperature is fitted to labels, but no row has one; open rows with labels.")
    told, truth = Logs(logits, None, np.flatnonzero(known)), labels[known]

    def slope(log_inverse: float) -> float:
        return float(told.each(lambda z, at: _lacking(z, truth[at], np.exp(log_inverse))).mean())

    low, high = -np.log(HOTTEST), -np.log(COLDEST)
    if slope(low) >= 0:
        return HOTTEST
    if slope(high) <= 0:
        return COLDEST
    return float(np.exp(-brentq(slope, low, high, xtol=1e-10)))


def _lacking(z: Floats, truth: Ints, inverse: float) -> Floats:
    """(N,) by how much the expected logit is more than the label's, at an inverse temperature."""
    z = z - z.max(1, keepdims=True)
    powers = np.exp(z * inverse)
    found: Floats = (powers * z).sum(1) / powers.sum(1) - z[np.arange(len(z)), truth]
    return found


def off(logits: np.ndarray, labels: Ints) -> float:
    """Two-sided p that logits (N, C) are off by chance alone, their softmax at T = 1 being true; NaN without labels.

    The score test of 1 / T: what the label's logit lacks of the expected one, over its deviation under that softmax.

    Source: Rao, Large Sample Tests of Statistical Hypotheses Concerning Several Parameters, Mathematical Proceedings of
    the Cambridge Philosophical Society 44, 1948.
    """
    known = (labels >= 0) & np.isfinite(logits).all(axis=1)
    truth = labels[known]
    moments = Logs(logits, None, np.flatnonzero(known)).each(lambda z, at: _moments(z, truth[at]))
    lacking, variance = (float(whole) for whole in moments.sum(0))
    if variance <= 0:
        return float("nan")
    return float(2 * ndtr(-abs(lacking) / np.sqrt(variance)))


def _moments(z: Floats, truth: Ints) -> Floats:
    """(N, 2) what the label's logit lacks of the expected one, and the variance of that."""
    q = softmax(z)
    expected = (q * z).sum(1)
    return np.stack([expected - z[np.arange(len(z)), truth], (q * (z - expected[:, None]) ** 2).sum(1)], axis=1)


class Halves(NamedTuple):
    """By what rows are scaled: each half by the temperature that was fitted on the other."""

    each: Floats  # (N,)
    temperatures: tuple[float, float]  # of the two halves


def crossed(logits: np.ndarray, labels: Ints) -> Halves:
    """Two halves of logits (N, C) by a seeded draw, each with the temperature that was fitted on the other.

    Raises:
        BadInput: fewer than two rows have a label.
    """
    known = np.flatnonzero((labels >= 0) & np.isfinite(logits).all(axis=1))
    if len(known) < 2:
        raise BadInput("A temperature is fitted on one half of the rows and shown on the other, but fewer than two "
                       "rows have a label.")  # fmt: skip
    first = np.zeros(len(labels), dtype=np.bool_)
    first[np.random.default_rng(SEED).permutation(known)[: len(known) // 2]] = True
    theirs = fitted(logits[~first], labels[~first]), fitted(logits[first], labels[first])
    return Halves(np.where(first, theirs[0], theirs[1]), theirs)


@dataclass(frozen=True, eq=False)
class TemperatureFit:
    """What the student's temperature is, how it was found, and the models' claims about the case's rows."""

    temperature: float | None  # fitted on all rows there are to fit on; None while nobody has asked for it
    halves: tuple[float, float] | None  # where rows were scaled by the temperature of the other half
    rows: int  # it was fitted on
    claims: dict[str, Forecast]  # of "teacher", "student" and "scaled", those that there are
    p: float = float("nan")  # that T = 1 is off by chance alone; NaN where it was not tested

    def among(self, meant: Bools | None) -> dict[str, Forecast]:
        """Return the claims about some rows; all when None."""
        return {name: one.among(meant) for name, one in self.claims.items()}


def scaled(case: Case) -> TemperatureFit:
    """Return the claims of teacher, student and temperature-scaled student; the last on rows its temperature never saw.

    Rows of the validation split, and rows of which only answers were given, are halved and each half is scaled by the
    temperature of the other. Others wait for the task, which fits on the validation rows.
    """
    stamps = [written_ns(path) for path in (case.folder / "rows.npz", _fit(case))]
    return _scaled(case.folder, tuple(stamps))


def _fit(case: Case) -> Path:
    return case.folder / f"{TASK}.npz"


def halved(case: Case) -> bool:
    """Whether the case's own rows are those that a temperature is fitted on."""
    return case.about.where in ("val", "given")


@kept
def _scaled(folder: Path, _: tuple[int, ...]) -> TemperatureFit:
    case = Case(folder)
    rows = case.rows
    claims = {"student": forecast(rows.log_q, rows.labels)}
    if rows.teacher is not None:
        claims = {"teacher": forecast(rows.log_p, rows.labels)} | claims
    if halved(case):
        return _halved(rows, claims)
    told = case.part(TASK)
    if not told:
        return TemperatureFit(None, None, 0, claims)
    p = float(told.get("p", np.nan))  # comparisons of before say nothing of it
    temperature = float(told["temperature"])
    claims["scaled"] = forecast(Logs(rows.student, temperature), rows.labels)
    return TemperatureFit(temperature, None, int(told["rows"]), claims, p)


def _halved(rows: Rows, claims: dict[str, Forecast]) -> TemperatureFit:
    count = len(claims["student"])
    if count < 2:
        return TemperatureFit(None, None, count, claims)
    found = crossed(rows.student, rows.labels)
    claims["scaled"] = forecast(Logs(rows.student, found.each), rows.labels)
    own = fitted(rows.student, rows.labels)
    return TemperatureFit(own, found.temperatures, count, claims, off(rows.student, rows.labels))


@dataclass(frozen=True)
class Strip:
    """Scores of the student at every temperature."""

    temperatures: Floats  # (CURVE,) falling
    ece: Floats  # (CURVE,) in 15 bins of equal width
    nll: Floats  # (CURVE,) nats


def strip(one: Forecast) -> Strip:
    """Calibration error at each temperature; the minimum is the best fit. Predictions do not change.

    Powers of the inverse temperature's step are multiplied up, so no temperature needs exponentials of its own.
    """
    inverse = np.arange(1, CURVE + 1) * STEP
    found = one.log_q.each(lambda log_q, at: _raised(log_q, one.labels[at])).astype(np.float64)
    held, wholes = found[:, 0], found[:, 1:].T
    ece = [binned(1 / whole, one.right, equal_width()).ece for whole in wholes]
    nll = [mean(np.log(whole) - beta * held) for beta, whole in zip(inverse, wholes, strict=True)]
    return Strip(1 / inverse, np.array(ece), np.array(nll))


def _raised(log_q: Floats, labels: Ints) -> np.ndarray:
    """(N, 1 + CURVE) float32: the label's logit below the largest, and sums of powers at each inverse temperature."""
    lean = (log_q - log_q.max(1, keepdims=True)).astype(np.float32)
    once, power, every = np.exp(lean * np.float32(STEP)), np.ones_like(lean), np.ones(lean.shape[1], np.float32)
    found = [lean[np.arange(len(lean)), labels]]
    for _ in range(CURVE):
        power *= once
        found.append(power @ every)
    return np.stack(found, axis=1)
