"""Whether a run has learned anything at all: a loss that stayed where answers by chance are."""

from __future__ import annotations

from math import isfinite, sqrt

import numpy as np

from kdcore.events import Score

SIGMAS = 3.0  # of the accuracy that chance has on so many rows
NEAR = (0.98, 1.3)  # of the loss of chance: a network that has not learned begins a little above
HARDLY = 0.25  # of the way from chance to all right, above which something was learned whatever the loss


def standstill(score: Score, labels: np.ndarray) -> dict[str, float]:
    """What chance reaches on labels (N,), where a student is no better; {} where it is.

    Chance always gives the shares of the classes: it is right as often as the most frequent class is there, and its
    NLL in nats is the entropy of the shares.
    """
    shares = np.bincount(labels) / len(labels)
    often, nll = float(shares.max()), float(-(shares[shares > 0] * np.log(shares[shares > 0])).sum())
    noise = sqrt(often * (1 - often) / len(labels))
    near = not isfinite(score.nll) or NEAR[0] * nll <= score.nll <= NEAR[1] * nll
    stuck = score.accuracy <= often + SIGMAS * noise or (near and score.accuracy < often + HARDLY * (1 - often))
    return {"chance_accuracy": often, "chance_nll": nll} if stuck else {}
