"""A decision map in the manner of DeepView: see `kdcore.comparison.decision_map`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from kdcore.comparison.case import Case
from kdcore.comparison.decision_map import agreed, back, discriminative, fidelity, lengths, matrix
from kdcore.comparison.plane import asked as asked_plane
from kdcore.comparison.plane import square
from kdcore.comparison.selection import mask
from kdcore.comparison.tasks._umap import OfDistances, of_distances
from kdcore.comparison.tasks.pair import ComparedModel, ComparedPair
from kdcore.comparison.tasks.plane import flat, unit
from kdcore.contracts.data import Report
from kdcore.engine.measure import Arrays
from kdcore.errors import BadInput
from kdcore.probes._numerics import thinned

ROWS, MOST, LEAST = 150, 500, 12
SEGMENTS = 5  # of the line between two rows
WEIGHT = 0.65  # of the Euclidean part, DeepView's lambda
NEIGHBOURS = 20
SIZE = 60  # places along a side of the map
CHUNK = 256  # lines at a time


def work(pair: ComparedPair, asked: Mapping[str, Any], report: Report, lay: OfDistances | None = None) -> Arrays | None:
    """`map.npz`: see `kdcore.comparison.decision_map`.

    Args:
        asked: "select" (whose rows come first), "rows", "weight".
        lay: what lays points out; UMAP where None.

    Raises:
        BadInput: there are too few rows, or the selection cannot be read.
    """
    weight = float(asked.get("weight", WEIGHT))
    rows = chosen(pair, str(asked.get("select", "")), min(MOST, int(asked.get("rows", ROWS))))
    x = flat(pair, rows.tolist())
    told = np.mean([_told(pair, model, x, place, report) for place, model in enumerate(pair.models)], axis=0)
    euclid = _apart(x)
    report("loading UMAP, which takes up to a minute the first time", 0.8)
    says = f"laying out {len(rows):,} rows"
    lay = lay or of_distances(lambda share: report(says, 0.85 + 0.05 * share))
    report(says, 0.85)
    places = lay(discriminative(euclid, told, weight), min(NEIGHBOURS, len(rows) - 1)).astype(np.float64)
    report("asking both models about the places between", 0.9)
    asking = [lambda where, model=model: _logits(pair, model, back(where, places, x)) for model in pair.models]
    plane = asked_plane(square(places), SIZE, asking[0], asking[1] if len(asking) > 1 else None)
    return {**plane, **_worth(pair, plane, rows, places), "weight": np.array(weight), "segments": np.array(SEGMENTS)}


def chosen(pair: ComparedPair, select: str, most: int) -> np.ndarray:
    """Rows that are mapped, ascending: the selected first, the others evenly spread.

    Raises:
        BadInput: there are too few, or the selection names what is not there.
    """
    if len(pair.x) < LEAST:
        raise BadInput(f"A map needs at least {LEAST} samples, but there are {len(pair.x)}; choose more.")
    meant = np.flatnonzero(mask(Case(pair.folder), select)) if select else np.arange(0)
    first = meant[thinned(len(meant), most)] if len(meant) > most else meant
    rest = np.setdiff1d(np.arange(len(pair.x)), meant)
    room = min(most - len(first), len(rest))
    return np.sort(np.concatenate([first, rest[thinned(len(rest), room)] if room else rest[:0]]))


def _told(pair: ComparedPair, model: ComparedModel, x: np.ndarray, place: int, report: Report) -> np.ndarray:
    """(n, n) how much a model changes its mind on the way from one row to another."""
    first, second = np.triu_indices(len(x), 1)
    parts = np.linspace(0, 1, SEGMENTS + 1)[1:-1]
    own, found = _shares(pair, model, x), []
    share = 0.8 / len(pair.models)
    for at in range(0, len(first), CHUNK):
        ends = first[at : at + CHUNK], second[at : at + CHUNK]
        one, other = x[ends[0], None], x[ends[1], None]
        between = _shares(pair, model, (one + parts[:, None] * (other - one)).reshape(-1, x.shape[1]))
        between = between.reshape(len(one), len(parts), -1)
        found.append(lengths(np.concatenate([own[ends[0], None], between, own[ends[1], None]], axis=1)))
        report(f"walking from row to row: {at:,} of {len(first):,} ways", share * (place + at / len(first)))
    return matrix(np.concatenate(found), len(x))


def _apart(x: np.ndarray) -> np.ndarray:
    """(n, n) Euclidean distances, without (n, n, F) numbers at once."""
    return np.stack([np.linalg.norm(x - one, axis=1) for one in x])


def _logits(pair: ComparedPair, model: ComparedModel, x: np.ndarray) -> np.ndarray:
    points = torch.from_numpy((x * unit(pair)).astype(np.float32)).reshape(-1, *pair.shape)
    return model.logits(points).numpy()


def _shares(pair: ComparedPair, model: ComparedModel, x: np.ndarray) -> np.ndarray:
    return torch.from_numpy(_logits(pair, model, x)).double().softmax(1).numpy()


def _worth(pair: ComparedPair, plane: Mapping[str, np.ndarray], rows: np.ndarray, places: np.ndarray) -> Arrays:
    """Where rows lie, and both measures of teacher and student."""
    x = np.full((len(pair.x), 2), np.nan)
    x[rows] = places
    found = []
    for name, model in (("teacher", pair.teacher), ("student", pair.student)):
        if model:
            answers = model.logits(pair.x[rows]).argmax(1).numpy()
            found.append((agreed(places, answers), fidelity(plane[f"{name}_class"], plane["extent"], places, answers)))
    nearest, faithful = np.array(found).T
    return {"x": x[:, 0], "y": x[:, 1], "nearest": nearest, "fidelity": faithful}
