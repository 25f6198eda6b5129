"""The training images that are nearest to one image, in each model's own features."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from kdcore.comparison.tasks._asked import Asked, image, shown, sides
from kdcore.comparison.tasks.pair import ComparedPair
from kdcore.errors import BadInput
from kdcore.runs.record import read_arrays, written_ns
from kdcore.single_entry_cache import SingleEntryCache

MOST = 5


def answer(pair: ComparedPair, asked: Asked) -> dict[str, Any]:
    """For each model whose inside is known the nearest training rows to {"row"} or {"pixels"}, nearest first.

    Raises:
        BadInput: the image is none of these data's, or the features have not been measured yet.
    """
    known, x = _known(pair), image(pair, asked)
    index, own = known["index"], _own(pair, asked)
    found: dict[str, Any] = {"among": len(index), "of": len(pair.train_x)}
    for name, model in sides(pair).items():
        if name in known:
            gaps = distances(known[name], model.features(x)[0].numpy())
            gaps[index == own] = np.inf
            found[name] = [_told(pair, int(index[place]), float(gaps[place])) for place in np.argsort(gaps)[:MOST]]
    return found


def distances(features: np.ndarray, feature: np.ndarray) -> np.ndarray:
    """Euclidean distances (M,) of features (M, K) to one of them (K,)."""
    return np.asarray(np.linalg.norm(features - feature, axis=1))


def _told(pair: ComparedPair, row: int, distance: float) -> dict[str, Any]:
    x = torch.from_numpy(pair.data.train.x[row : row + 1])
    return {"row": row, "image": shown(x), "label": int(pair.data.train.y[row]), "distance": distance}


def _own(pair: ComparedPair, asked: Asked) -> int:
    """Return the row itself, where training rows are looked at; it is no neighbour of its own."""
    return int(asked["row"]) if pair.question.where == "train" and asked.get("pixels") is None else -1


def _known(pair: ComparedPair) -> dict[str, np.ndarray]:
    path = pair.folder / "neighbours.npz"
    stamp = written_ns(path)
    if not stamp:
        raise BadInput("The features of the training rows have not been measured yet; have them measured first.")
    return FEATURES.get((path, stamp), lambda: read_arrays(path))


FEATURES: SingleEntryCache[dict[str, np.ndarray]] = SingleEntryCache()  # of a case's training rows, up to 80 MB
