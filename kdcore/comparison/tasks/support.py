"""How far each row of a case is from the training rows, as the teacher sees them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from kdcore.comparison.tasks.pair import ComparedModel, ComparedPair
from kdcore.contracts.data import Report
from kdcore.contracts.net import CHUNK
from kdcore.engine.measure import Arrays
from kdcore.errors import BadInput

NEIGHBOUR = 10
OWN = 2000  # training rows that tell what is usual
SEEN = "reading training rows through the teacher"


def work(pair: ComparedPair, _: Mapping[str, Any], report: Report) -> Arrays:
    """`distance` (N,) of each row to its 10th nearest training row, and `own` (M,), the same of training rows to the
    others: Euclidean, between the last stage's pooled features.

    Raises:
        BadInput: there is no teacher, its inside is not known, or there are fewer than 11 training rows.
    """
    if pair.teacher is None:
        raise BadInput("There is no teacher here in whose features distances could be measured.")
    if len(pair.train_x) <= NEIGHBOUR:
        raise BadInput(f"Distances need more than {NEIGHBOUR} training rows, but there are {len(pair.train_x)}.")
    seen = features(pair.teacher, pair.train_x, lambda share: report(SEEN, 0.8 * share))
    report("measuring distances", 0.8)
    chosen = torch.randperm(len(seen), generator=torch.Generator().manual_seed(0))[:OWN]
    return {
        "distance": kth(pair.teacher.features(pair.x), seen, NEIGHBOUR).numpy(),
        "own": kth(seen[chosen], seen, NEIGHBOUR + 1).numpy(),  # the first is the row itself
    }


def features(model: ComparedModel, x: Tensor, heard: Callable[[float], None]) -> Tensor:
    """(N, K) of raw rows, saying how far it is."""
    found = []
    for place in range(0, len(x), CHUNK):
        heard(place / len(x))
        found.append(model.features(x[place : place + CHUNK]))
    return torch.cat(found)


def kth(x: Tensor, others: Tensor, k: int) -> Tensor:
    """(N,) distance of each row (N, K) to its k-th nearest among others (M, K)."""
    return torch.cat([torch.cdist(part, others).kthvalue(k, dim=1).values for part in torch.split(x, CHUNK)])
