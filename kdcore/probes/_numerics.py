"""Softmax and its relatives, once, in float64. Logits that are not finite stay visible as NaN and raise nothing."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LOG_FROM = 50.0  # a range wider than this factor is read on a logarithmic axis
NO_ANSWER = -1  # the class of a row whose logits are not finite


def log_softmax(logits: np.ndarray, temperature: float = 1.0) -> Floats:
    """Natural logarithm of the softened probabilities, over the last axis: (..., C) float64."""
    with np.errstate(invalid="ignore"):
        scaled = np.asarray(logits, dtype=np.float64) / temperature
        shifted = scaled - scaled.max(axis=-1, keepdims=True)
        normalised: Floats = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return normalised


def softmax(logits: np.ndarray, temperature: float = 1.0) -> Floats:
    """Softened probabilities over the last axis: (..., C) float64."""
    with np.errstate(invalid="ignore"):
        scaled = np.asarray(logits, dtype=np.float64) / temperature
        weights = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
        return np.asarray(weights / weights.sum(axis=-1, keepdims=True))


def kl_nats(teacher_logits: np.ndarray, student_logits: np.ndarray, temperature: float = 1.0) -> Floats:
    """KL(teacher || student) of the softened probabilities in nats, over the last axis: (...,) float64.

    Source: Kullback and Leibler, On Information and Sufficiency, Annals of Mathematical Statistics 22, 1951.
    """
    log_p, log_q = log_softmax(teacher_logits, temperature), log_softmax(student_logits, temperature)
    with np.errstate(invalid="ignore"):
        surprise = np.where(np.isneginf(log_p), 0.0, np.exp(log_p) * (log_p - log_q))
    return np.asarray(np.maximum(surprise.sum(axis=-1), 0.0))


def top_class(logits: np.ndarray) -> Ints:
    """The class with the largest logit (the first of equals), NO_ANSWER where none is finite: (N,) int64."""
    return np.where(np.isfinite(logits.max(axis=1)), logits.argmax(axis=1), NO_ANSWER)


def mean(values: Floats) -> float:
    """The mean of those values that are numbers; NaN when there is none."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


def thinned(count: int, limit: int) -> Ints:
    """At most `limit` indices below `count`, evenly spread, the first and the last among them."""
    return np.linspace(0, count - 1, min(count, limit)).round().astype(np.int64)


def calm(*curves: Floats) -> float | None:
    """A little above all but the first values (at least one, and 3 % of them) where those are twice as high; else None.

    Curves are (S,) each and share their steps; one that is negative anywhere has no such height.
    """
    table = np.array([curve for curve in curves if np.isfinite(curve).any()])
    skipped = 1 + table.shape[-1] // 33 if table.size else 0
    first, later = table[..., :skipped], table[..., skipped:]
    if table.size == 0 or np.isfinite(later).sum() < 5 or np.nanmin(table) < 0 or not np.isfinite(first).any():
        return None
    top = float(np.nanmax(later, initial=0.0, where=np.isfinite(later)))
    return 1.1 * top if 0 < 2 * top < np.nanmax(first, where=np.isfinite(first), initial=0.0) else None


def wide(values: Floats) -> bool:
    """Whether values that are nowhere negative span more than a factor of LOG_FROM."""
    known = values[np.isfinite(values)]
    positive = known[known > 0]
    return bool(positive.size and known.min() >= 0 and positive.max() > LOG_FROM * positive.min())
