"""Both models' features of training rows, against which the nearest to any image are found."""

from __future__ import annotations

import torch

from kdcore.comparison.tasks._asked import Asked, sides
from kdcore.comparison.tasks.pair import ComparedPair
from kdcore.contracts.data import Report
from kdcore.contracts.net import CHUNK
from kdcore.engine.measure import Arrays
from kdcore.errors import BadInput
from kdcore.probes._numerics import thinned

MOST = 20_000  # training rows, evenly spread


def work(pair: ComparedPair, _: Asked, report: Report) -> Arrays:
    """index (M,) rows of the training split, and <model> (M, K) float32 features, pooled, where its inside is known.

    Raises:
        BadInput: nothing is known of either model's inside.
    """
    index = thinned(len(pair.train_x), MOST)
    found = {"index": index}
    known = {name: model for name, model in sides(pair).items() if model.net}
    if not known:
        raise BadInput("Both models are black boxes, without features to measure distances in.")
    for place, (name, model) in enumerate(known.items()):
        parts = []
        for begin in range(0, len(index), CHUNK):
            report(f"features of the {name}", (place + begin / len(index)) / len(known))
            parts.append(model.features(pair.train_x[index[begin : begin + CHUNK]]))
        found[name] = torch.cat(parts).numpy()
    return found
