"""Loss and accuracy along the straight line between the weights of two students."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdcore.blackbox.loaded_run import weights_of
from kdcore.comparison.tasks._course import Weights, first
from kdcore.comparison.tasks.pair import ComparedModel, ComparedPair
from kdcore.contracts.data import Report, Split
from kdcore.contracts.net import CHUNK, Net
from kdcore.engine.measure import Arrays
from kdcore.errors import BadInput
from kdcore.spec.spec import parse

POINTS = 21
MOST = 2000  # rows of each split
SETTLED = 1024  # training rows that the statistics of batch norms are taken over
Rows = tuple[Tensor, Tensor]


def work(pair: ComparedPair, asked: Mapping[str, Any], report: Report) -> Arrays:
    """share (A,) of the way; loss, error and right (2, A): mean cross-entropy in nats, its standard error and correct
    answers on training and validation rows; rows (2,).

    Asked: folder, spec and title of the other student's run; without them the line begins at the student's own first
    weights and ends at its last.

    Raises:
        BadInput: the student is no run of ours, or the other is another network.
    """
    party = pair.question.student
    if not (party.folder and party.spec and pair.student.net):
        raise BadInput("The student is no run of this machine, so there is no line from its weights to others.")
    own = dict(pair.student.net.state_dict())
    if asked.get("folder"):
        start, end, said = own, weights_of(Path(asked["folder"])).student, str(asked.get("title", "the other"))
    else:
        start, end, said = first(parse(party.spec), pair.shape, len(pair.classes)), own, ""
    fits(start, end)
    splits = [_rows(split) for split in (pair.data.train, pair.data.val)]
    net, shares = deepcopy(pair.student.net), np.linspace(0, 1, POINTS)
    found = []
    for place, share in enumerate(shares):
        report(f"point {place + 1} of {POINTS}", place / POINTS)
        net.load_state_dict(between(start, end, float(share)))
        settle(net, pair.student.inputs(splits[0][0][:SETTLED]))
        found.append([_told(net, pair.student, rows) for rows in splits])
    loss, error, right = np.array(found).transpose(2, 1, 0)
    rows = np.array([len(truth) for _, truth in splits])
    return {"share": shares, "loss": loss, "error": error, "right": right, "rows": rows, "other": np.array(said)}


def fits(start: Weights, end: Weights) -> None:
    """Whether a line may join two networks.

    Raises:
        BadInput: they differ; the first layer that does is named.
    """
    shapes = [{name: tuple(weight.shape) for name, weight in weights.items()} for weights in (start, end)]
    for name in [*shapes[0], *shapes[1]]:
        one, other = (shape.get(name) for shape in shapes)
        if one != other:
            raise BadInput(
                f"The two students are different networks: {name} has shape {one or 'nothing'} in one and "
                f"{other or 'nothing'} in the other; choose a run of the same architecture."
            )


def between(start: Weights, end: Weights, share: float) -> Weights:
    """Weights at a share of the way from `start` to `end`; what counts steps stays as at the start."""
    return {
        name: torch.lerp(weight, end[name].to(weight.device), share) if weight.is_floating_point() else weight
        for name, weight in start.items()
    }


@torch.no_grad()
def settle(net: Net, inputs: Tensor) -> None:
    """Take the statistics of batch norms anew over `inputs`, as those of neither end hold between them."""
    norms = [module for module in net.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    net.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over all batches
        norm.train()
    if norms:
        for chunk in torch.split(inputs, CHUNK):
            net(chunk)
    net.eval()


def _rows(split: Split) -> Rows:
    """At most MOST labelled rows of a split, drawn by a fixed seed."""
    known = np.flatnonzero(split.y >= 0)
    order = np.random.default_rng(0).permutation(known)[:MOST]
    return torch.from_numpy(split.x[order]), torch.from_numpy(split.y[order])


@torch.no_grad()
def _told(net: Net, model: ComparedModel, rows: Rows) -> tuple[float, float, float]:
    """Mean cross-entropy, its standard error, and how many answers are right."""
    x, truth = rows
    logits = torch.cat([net(model.inputs(part)).logits.float().cpu() for part in torch.split(x, CHUNK)])
    logits = logits if model.order is None else logits[:, model.order]
    losses = F.cross_entropy(logits, truth, reduction="none").double()
    error = float(losses.std()) / len(losses) ** 0.5 if len(losses) > 1 else float("nan")
    return float(losses.mean()), error, float((logits.argmax(1) == truth).sum())
