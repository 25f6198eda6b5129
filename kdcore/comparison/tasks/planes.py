"""Planes through random rows: how much of the space both models divide alike, beyond the plane on show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from kdcore.comparison.plane import Plane, asked, measures, through
from kdcore.comparison.tasks.pair import ComparedPair
from kdcore.comparison.tasks.plane import asking, flat
from kdcore.contracts.data import Report
from kdcore.engine.measure import Arrays
from kdcore.errors import BadInput

PLANES, MOST = 10, 100
SIZE = 50  # points along a side
TRIES = 20  # draws for each plane, where rows lie on one line


def work(pair: ComparedPair, wish: Mapping[str, Any], report: Report) -> Arrays | None:
    """`planes.npz`: see `kdcore.comparison.plane`. "planes" may say how many, "seed" which.

    Raises:
        BadInput: there is no teacher, or there are too few different rows.
    """
    if pair.teacher is None:
        raise BadInput("There is no teacher here, so nothing to compare the student's regions with.")
    count, random = min(MOST, int(wish.get("planes", PLANES))), np.random.default_rng(int(wish.get("seed", 0)))
    found = []
    for place in range(count):
        report(f"plane {place + 1} of {count}", place / count)
        rows, laid = _drawn(pair, random)
        student, teacher = (asking(pair, model, laid) for model in (pair.student, pair.teacher))
        plane = asked(laid.extent, SIZE, student, teacher)
        found.append((rows, measures(plane, len(pair.classes), rows, laid.corners)))
    return {
        "rows": np.stack([rows for rows, _ in found]),
        "agreement": np.array([told.agreement for _, told in found]),
        "fragments": np.stack([told.fragments for _, told in found]),
        "margin": np.stack([told.margin for _, told in found]),
        "iou": np.stack([told.iou for _, told in found]),
    }


def _drawn(pair: ComparedPair, random: np.random.Generator) -> tuple[np.ndarray, Plane]:
    """Three rows of three classes, where there are as many, and their plane."""
    kinds = np.unique(pair.labels)
    for _ in range(TRIES):
        chosen = random.choice(kinds, 3, replace=len(kinds) < 3)
        rows = np.array([random.choice(np.flatnonzero(pair.labels == kind)) for kind in chosen])
        try:
            return rows, through(*flat(pair, rows.tolist()))
        except BadInput:
            continue
    raise BadInput("There are too few different rows here to lay planes through; choose more.")
