"""Answers that are called logits and look like probabilities: read as logits they would be far too unsure."""

from __future__ import annotations

import numpy as np

LEAST = 1e-8  # a probability of 0 counts as this, so that its logarithm is a number
ROUNDING = 1e-3  # how far from 1 rows may sum
FEWEST = 2  # rows; a single one may sum to 1 by chance


def probable(rows: np.ndarray) -> bool:
    """Whether in each of the rows (N, C) no number is negative and all sum to 1; rows that are not finite tell
    nothing, nor do fewer than two."""
    known = rows[np.isfinite(rows).all(1)].astype(np.float64)
    return len(known) >= FEWEST and bool((known >= 0).all() and (np.abs(known.sum(1) - 1) <= ROUNDING).all())


def logarithms(rows: np.ndarray) -> np.ndarray:
    """Probabilities (N, C) as logits in float32: their logarithms."""
    found: np.ndarray = np.log(np.clip(rows.astype(np.float32), LEAST, None))
    return found


def flat(answers: np.ndarray) -> np.ndarray:
    """Answers (B, C, 1, 1), as of networks that end in a convolution, as rows (B, C); others as they are."""
    return answers.reshape(answers.shape[:2]) if answers.ndim > 2 and set(answers.shape[2:]) == {1} else answers
