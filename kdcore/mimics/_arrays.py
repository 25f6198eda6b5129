"""What both mimics do with arrays of answers."""

from __future__ import annotations

import numpy as np

from kdcore.errors import BadInput

LEAST_ROWS = 20


def checked(x: np.ndarray, probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return inputs as (N, F) float64.

    Raises:
        BadInput: there are too few rows, their numbers differ, or something is no number.
    """
    if not len(x) == len(probabilities) == len(labels):
        raise BadInput(
            f"A mimic needs inputs, answers and labels of the same rows, but got {len(x)}, {len(probabilities)} and "
            f"{len(labels)}."
        )
    if len(x) < LEAST_ROWS:
        raise BadInput(f"A mimic needs at least {LEAST_ROWS} answered rows, but got {len(x)}; ask about more.")
    flat: np.ndarray = np.asarray(x, dtype=np.float64).reshape(len(x), -1)
    if not (np.isfinite(flat).all() and np.isfinite(probabilities).all()):
        raise BadInput("A mimic learns from numbers, but some input or answer is none; leave such rows out.")
    return flat


def held_out(rows: int, share: float, seed: int) -> np.ndarray:
    """(N,) bool, True for a random share of the rows that no mimic is fitted to."""
    chosen = np.zeros(rows, dtype=bool)
    chosen[np.random.default_rng(seed).permutation(rows)[: max(1, round(share * rows))]] = True
    return chosen
