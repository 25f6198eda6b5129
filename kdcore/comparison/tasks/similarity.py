"""How alike all stages of both networks are: debiased linear CKA on rows of the case."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kdcore.comparison.tasks._rows import drawn
from kdcore.comparison.tasks.pair import ComparedModel, ComparedPair
from kdcore.contracts.data import Report
from kdcore.contracts.net import CHUNK, pooled
from kdcore.engine.measure import Arrays
from kdcore.errors import BadInput
from kdcore.nn.representations import debiased_grams

MOST = 2000
FEWEST = 8
GROUPS = 8  # of rows, of whose likenesses the standard error is told
SMALLEST_GROUP = 8


def work(pair: ComparedPair, asked: Mapping[str, Any], report: Report) -> Arrays:
    """cka (S + T, S + T) and error, its standard error; stages (): S, the student's, logits being the last of each.

    Asked: select, the rows that are meant; rows, how many at most.

    Raises:
        BadInput: a model only answers, or too few rows are meant.
    """
    rows = drawn(pair, asked, MOST)
    if len(rows) < FEWEST:
        raise BadInput(f"Likeness needs at least {FEWEST} rows, but {len(rows)} are selected; select more.")
    x = pair.x[rows]
    stages: list[list[Tensor]] = []
    for place, model in enumerate(pair.models):
        report(f"asking {model.title}", place / (len(pair.models) + 1))
        stages.append(staged(model, x))
    report("comparing stages", len(pair.models) / (len(pair.models) + 1))
    features = [stage for one in stages for stage in one]
    return {
        "cka": _likeness(features).numpy(),
        "error": _error(features).numpy(),
        "stages": torch.tensor(len(stages[0])).numpy(),
        "rows": rows,
        "select": np.array(str(asked.get("select", ""))),
    }


@torch.no_grad()
def staged(model: ComparedModel, x: Tensor) -> list[Tensor]:
    """Each stage's feature of raw rows (N, ...), maps averaged over their positions: (N, K); and last the logits.

    Raises:
        BadInput: the model only answers.
    """
    parts = [model.through(chunk) for chunk in torch.split(x, CHUNK)]
    vectors = [[pooled(feature.float()).cpu() for feature in one.features] for one in parts]
    stages = [torch.cat(stage) for stage in zip(*vectors, strict=True)]
    return [*stages, torch.cat([one.logits.float().cpu() for one in parts])]


def _likeness(features: list[Tensor]) -> Tensor:
    grams = debiased_grams(features)
    return (grams @ grams.T).clamp(-1, 1)


def _error(features: list[Tensor]) -> Tensor:
    """Return standard error of each likeness from those of disjoint groups of rows; NaN where groups would be too
    small.
    """
    groups = min(GROUPS, len(features[0]) // SMALLEST_GROUP)
    if groups < 2:
        return torch.full((len(features), len(features)), torch.nan)
    found = torch.stack([_likeness([one[place::groups] for one in features]) for place in range(groups)])
    error: Tensor = found.std(0) / groups**0.5
    return error
