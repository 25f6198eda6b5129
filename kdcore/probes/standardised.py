"""Logits as they are, with each sample's scale taken out, and with each class's scale taken out."""

from dataclasses import dataclass

import numpy as np

from kdcore.probes._numerics import Floats, Ints, mean
from kdcore.probes._rows import class_names, labels, student_logits, teacher_logits
from kdcore.runs.record import Record

ROWS = 40  # samples shown at most


@dataclass(frozen=True)
class Scaled:
    """One network on R samples; (R, C) each."""

    raw: Floats
    by_row: Floats  # each sample's logits less their mean, over their spread
    by_column: Floats  # each class's logits less their mean over all probe rows, over their spread
    spread: float  # mean over all probe rows of the standard deviation of a row
    largest: float  # largest absolute logit on show; 1 when there is none


@dataclass(frozen=True)
class Standardised:
    """Both networks on a few samples, ordered by their true class."""

    rows: Ints  # (R,) int64, of the probe set
    labels: tuple[str, ...]  # (R,)
    classes: tuple[str, ...]  # (C,)
    networks: dict[str, Scaled]  # "teacher" (where there is one) and "student"


def standardised(record: Record) -> Standardised:
    """Rows are samples, ordered by true class: networks that match only after scaling differ in logit scale alone.

    Source: Sun et al., Logit Standardization in Knowledge Distillation, CVPR 2024 (by row, unbiased deviation).
    """
    truth, teacher, student = labels(record), teacher_logits(record), student_logits(record)
    names = class_names(record, student.shape[1])
    rows = spread_out(truth, ROWS)
    told = {"teacher": teacher, "student": student}
    return Standardised(
        rows=rows,
        labels=tuple(names[truth[row]] for row in rows),
        classes=names,
        networks={name: scaled(logits, rows) for name, logits in told.items() if logits is not None},
    )


def spread_out(truth: np.ndarray, limit: int) -> Ints:
    """At most `limit` rows, ordered by class, each class as often as the others as far as it goes: (R,) int64."""
    order = np.argsort(truth, kind="stable")
    turn = np.arange(len(truth)) - np.searchsorted(truth[order], truth[order])  # the how-manieth of its class
    kept = np.lexsort((truth[order], turn))[:limit]
    return np.asarray(order[np.sort(kept)], dtype=np.int64)


def scaled(logits: np.ndarray, rows: Ints) -> Scaled:
    """Logits (N, C) of some rows in three ways."""
    values = np.asarray(logits, dtype=np.float64)
    known = values[rows][np.isfinite(values[rows])]
    return Scaled(
        raw=values[rows],
        by_row=_scaled(values, 1)[rows],
        by_column=_scaled(values, 0)[rows],
        spread=_spread(values),
        largest=float(np.abs(known).max() if known.size and known.any() else 1.0),
    )


def _spread(values: Floats) -> float:
    with np.errstate(invalid="ignore", over="ignore"):
        return mean(values.std(axis=1, ddof=1))


def _scaled(values: Floats, axis: int) -> Floats:
    """Less the mean, over the unbiased standard deviation, along an axis; 0 where all are equal."""
    with np.errstate(invalid="ignore", over="ignore"):
        centred = values - values.mean(axis, keepdims=True)
        deviation = centred.std(axis, ddof=min(1, values.shape[axis] - 1), keepdims=True)
        return np.asarray(centred / (deviation + 1e-7))
