"""Loss along the straight line between two students, as the task of that name has measured it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kdcore.comparison.case import Case
from kdcore.comparison.intervals import wilson
from kdcore.probes._numerics import Floats, Ints

SPLITS = ("training", "validation")


@dataclass(frozen=True)
class WeightPath:
    """What lies between two students' weights, at A points; first axis: training rows, validation rows."""

    share: Floats  # (A,) of the way
    loss: Floats  # (2, A) nats
    error: Floats  # (2, A) standard error
    accuracy: Floats  # (2, A)
    low: Floats  # (2, A) of the 95 % interval of the accuracy
    high: Floats
    barrier: Floats  # (2,) nats
    rows: Ints  # (2,)
    other: str  # title of the run at the far end; "" where the line goes from the first weights to the last


def line(case: Case) -> WeightPath:
    """Loss and accuracy along the line between two students' weights: a barrier means two different solutions.

    Statistics of batch norms are taken anew at every point over training rows, so that the ends may differ a little
    from what the runs themselves tell.

    Source: Frankle et al., Linear Mode Connectivity and the Lottery Ticket Hypothesis, ICML 2020 (the line and its
    barrier); Jordan et al., REPAIR, ICLR 2023 (statistics that are taken anew).
    """
    found = case.part("line")
    low, high = wilson(found["right"], found["rows"][:, None])
    return WeightPath(
        share=found["share"],
        loss=found["loss"],
        error=found["error"],
        accuracy=found["right"] / found["rows"][:, None],
        low=low,
        high=high,
        barrier=np.array([barrier(found["share"], loss) for loss in found["loss"]]),
        rows=found["rows"],
        other=str(found["other"]),
    )


def barrier(share: Floats, loss: Floats) -> float:
    """How far the loss (A,) rises above the straight line between its two ends, at most; 0 where it never does."""
    return float(np.max(loss - ((1 - share) * loss[0] + share * loss[-1])))
