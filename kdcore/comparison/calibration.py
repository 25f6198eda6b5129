"""How sure a model is beside how often it is right, over all rows, a selection or one class."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from kdcore.comparison.intervals import wilson
from kdcore.comparison.log_probabilities import Logs
from kdcore.comparison.selection import Bools
from kdcore.probes._bins import Bins, binned, equal_mass, equal_width
from kdcore.probes._numerics import Floats, Ints


@dataclass(frozen=True, eq=False)
class Forecast:
    """What a model claims about those N rows of a case whose label is known and whose answer is finite."""

    rows: Ints  # (N,) their places in the case
    labels: Ints  # (N,)
    log_q: Logs  # (N, C) log-probabilities
    top: Ints  # (N,) the likeliest class, the first of equals
    sure: Floats  # (N,) its probability
    right: Bools  # (N,)

    def __len__(self) -> int:
        return len(self.rows)

    def among(self, meant: Bools | None) -> Forecast:
        """Return the same about some rows of the case, as a selection means them; all when None."""
        if meant is None:
            return self
        here = meant[self.rows]
        return Forecast(**{field.name: getattr(self, field.name)[here] for field in fields(self)})


def forecast(log_q: Logs | Floats, labels: Ints) -> Forecast:
    """Return the claims of log-probabilities (N, C) about labels (N,), -1 where unknown."""
    told = log_q if isinstance(log_q, Logs) else Logs(log_q, temperature=None)
    unknown = told.each(lambda part, _: np.asarray(np.isnan(part).any(axis=1)))
    rows = np.flatnonzero((labels >= 0) & ~unknown)
    known, truth = told[rows], labels[rows]
    top = known.each(lambda part, _: part.argmax(axis=1))
    sure = np.exp(known[np.arange(len(rows)), top])
    return Forecast(rows, truth, known, top, sure, top == truth)


def by_width(one: Forecast) -> Bins:
    """On the diagonal, confidence equals accuracy; below it, a model is overconfident. Bars are counts.

    Source: Guo, Pleiss, Sun and Weinberger, On Calibration of Modern Neural Networks, ICML 2017.
    """
    return binned(one.sure, one.right, equal_width())


def by_mass(one: Forecast) -> Bins:
    """Return the same in bins with equally many rows: finer where the model claims most, and no bin hangs on a few
    rows.
    """
    return binned(one.sure, one.right, equal_mass(one.sure))


@dataclass(frozen=True)
class ByAnswer:
    """For each class, the rows that the model gives it; NaN where there are none."""

    count: Ints  # (C,)
    confidence: Floats  # (C,) mean
    accuracy: Floats  # (C,)
    low: Floats  # (C,) between which accuracy minus confidence lies with 95 %, by Wilson's interval of the accuracy
    high: Floats  # (C,)

    @property
    def gap(self) -> Floats:
        """(C,) accuracy minus confidence."""
        return self.accuracy - self.confidence


def by_answer(one: Forecast) -> ByAnswer:
    """Samples grouped by predicted class: left of the line a model is overconfident, right of it underconfident.

    Grouped by the answer and not by the true class: rows that were picked by their outcome would look miscalibrated
    in any case.
    """
    classes = one.log_q.shape[1]
    count = np.bincount(one.top, minlength=classes)
    right = np.bincount(one.top, weights=one.right, minlength=classes)
    with np.errstate(invalid="ignore", divide="ignore"):
        sure = np.bincount(one.top, weights=one.sure, minlength=classes) / count
        low, high = (end - sure for end in wilson(right, count))
        return ByAnswer(count, sure, right / count, low, high)
