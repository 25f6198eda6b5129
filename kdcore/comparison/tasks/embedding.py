"""The rows as points: UMAP of both models' features, laid out together so that a row's two places can be compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from kdcore.comparison.embedding import placed_by_neighbours
from kdcore.comparison.tasks._umap import Together, together
from kdcore.comparison.tasks.pair import ComparedPair
from kdcore.contracts.data import Report
from kdcore.engine.measure import Arrays
from kdcore.errors import BadInput
from kdcore.probes._numerics import thinned
from kdcore.runs.record import read_arrays

ROWS, MOST = 2000, 5000  # rows that UMAP lays out, unless told, and at most; the others are placed by their nearest
NEIGHBOURS, APART = 15, 0.1
LEAST = 12  # rows


def work(pair: ComparedPair, asked: Mapping[str, Any], report: Report, lay: Together | None = None) -> Arrays | None:
    """`embedding.npz`: see `kdcore.comparison.embedding`.

    Args:
        asked: "of" ("features" or "logits"), "rows", "neighbours", "apart".
        lay: what lays points out; UMAP where None.

    Raises:
        BadInput: there are too few rows.
    """
    most, neighbours = min(MOST, int(asked.get("rows", ROWS))), int(asked.get("neighbours", NEIGHBOURS))
    apart = float(asked.get("apart", APART))
    if len(pair.x) < LEAST:
        raise BadInput(f"An embedding needs at least {LEAST} samples, but there are {len(pair.x)}; choose more.")
    of, values = _values(pair, str(asked.get("of", "features")), report)
    laid = thinned(len(pair.x), most)
    neighbours = min(neighbours, len(laid) - 1)
    report("loading UMAP, which takes up to a minute the first time", 0.2)
    says = f"laying out {len(laid):,} rows; this takes about a minute per thousand"
    lay = lay or together(lambda share: report(says, 0.4 + 0.55 * share))
    report(says, 0.4)
    places = lay([one[laid] for one in values], neighbours, apart)
    report("placing the other rows", 0.95)
    whole = [placed_by_neighbours(one, laid, place) for one, place in zip(values, places, strict=True)]
    found = {"x": whole[0][:, 0], "y": whole[0][:, 1], "laid": np.array(len(laid)), "of": np.array(of)}
    if len(whole) > 1:
        found |= {"teacher_x": whole[1][:, 0], "teacher_y": whole[1][:, 1]}
    return found | {"neighbours": np.array(neighbours), "apart": np.array(apart)}


def _values(pair: ComparedPair, of: str, report: Report) -> tuple[str, list[np.ndarray]]:
    """Return what is laid out of student and teacher, (N, K) each; logits where one of them only answers."""
    if of == "features" and all(model.net is not None for model in pair.models):
        found = []
        for place, model in enumerate(pair.models):
            report("taking the student's features" if place == 0 else "taking the teacher's features", 0.1 * place)
            found.append(model.features(pair.x).numpy())
        return "features", found
    rows = read_arrays(pair.folder / "rows.npz")
    return "logits", [rows[name] for name in ("student_logits", "teacher_logits") if name in rows]
