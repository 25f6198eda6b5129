"""The temperature that the method gives each sample of its own."""

from dataclasses import dataclass

import numpy as np

from kdcore.probes._numerics import Floats, Ints, top_class
from kdcore.probes._rows import labels, student_logits
from kdcore.runs.record import Record

BINS = 24


@dataclass(frozen=True)
class Temperatures:
    """Equal-width bins, and how many probe rows fall into each."""

    centre: Floats  # (24,)
    width: float
    right: Ints  # (24,) int64, rows where the student's class is the label
    wrong: Ints
    mean: float
    lowest: float
    highest: float


def temperatures(record: Record) -> Temperatures:
    """Each sample has its own temperature: further right, its teacher's output is softened more."""
    found = np.asarray(record.frame["own_temperature"], dtype=np.float64)
    known = np.isfinite(found)
    right = (top_class(student_logits(record)) == labels(record))[known]
    found = found[known] if known.any() else np.zeros(1)
    edges = np.histogram_bin_edges(found, BINS)
    count = {side: np.histogram(found[right == side], edges)[0] if known.any() else _none() for side in (True, False)}
    return Temperatures(
        centre=(edges[1:] + edges[:-1]) / 2,
        width=float(edges[1] - edges[0]),
        right=count[True],
        wrong=count[False],
        mean=float(found.mean()),
        lowest=float(found.min()),
        highest=float(found.max()),
    )


def _none() -> Ints:
    return np.zeros(BINS, dtype=np.int64)
