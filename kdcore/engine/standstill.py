"""Whether a run has learned anything at all: a loss that stayed where answers by chance are."""

from __future__ import annotations

from math import isfinite

import numpy as np

from kdcore.events import Score

RARE = 0.01  # how seldom chance is right on so many rows or more, below which it was not chance
NEAR = 0.95  # of the loss of chance, below which something was learned; one that is above it says nothing of that


def standstill(score: Score, labels: np.ndarray) -> dict[str, float]:
    """Return what chance reaches on labels (N,), where a student is no better by count and by loss; {} where it is.

    Chance always gives the shares of the classes: it is right as often as the most frequent class is there, and its
    NLL in nats is the entropy of the shares. The count is judged by a one-sided exact binomial test.
    """
    shares = np.bincount(labels) / len(labels)
    often, nll = float(shares.max()), float(-(shares[shares > 0] * np.log(shares[shares > 0])).sum())
    right = round(score.accuracy * len(labels))
    by_chance = at_least(right, len(labels), often) >= RARE
    stuck = by_chance and (not isfinite(score.nll) or score.nll >= NEAR * nll)
    return {"chance_accuracy": often, "chance_nll": nll} if stuck else {}


def at_least(wins: int, of: int, share: float) -> float:
    """Probability of at least `wins` of `of` independent draws that each win with probability `share`.

    What trains does without scipy, so that a machine with PyTorch alone can; in logarithms, as `of` may be thousands.
    """
    if not wins or share >= 1:
        return 1.0
    factorials = np.concatenate(([0.0], np.log(np.arange(1, of + 1)).cumsum()))  # their logarithms
    won = np.arange(wins, of + 1)
    ways = factorials[of] - factorials[won] - factorials[of - won]
    return float(np.exp(ways + won * np.log(share) + (of - won) * np.log1p(-share)).sum())
