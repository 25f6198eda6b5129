"""How much of an image a network has let go: the entropy of each patch, at the end and while the student learned."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from math import e, log, pi
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kdcore.comparison.tasks._course import Stop, Weights, first, stops
from kdcore.comparison.tasks._rows import drawn
from kdcore.comparison.tasks.pair import ComparedModel, ComparedPair
from kdcore.contracts.data import Report
from kdcore.engine.measure import Arrays
from kdcore.errors import BadInput
from kdcore.spec.spec import parse

MOST = 16
SIDE = 8  # patches along one side, at most
STEPS = 60
DRAWS = 4  # pairs of opposite noises in one step
TINY = 0.05  # standard deviation of the noise, of the range of pixels, whose change of the feature is the measure
RATE = 0.15  # of Adam on log sigma
CHECKPOINTS = 8  # of the student, evenly spread


def work(pair: ComparedPair, asked: Mapping[str, Any], report: Report) -> Arrays:
    """student, teacher (M, g, g): entropies in nats of the patches of M rows; foreground (M, g, g); rows (M,);
    course (T, M, g, g): the student's at its checkpoints steps (T,), and moved (T,), how far its weights went up to
    each, in lengths of its first weights.

    Raises:
        BadInput: rows are no images, or a model only answers.
    """
    if len(pair.shape) != 3:
        raise BadInput("Knowledge points are counted on the patches of images, but these rows have only features.")
    rows = drawn(pair, asked, MOST)
    if not len(rows):
        raise BadInput("No row is selected; select some.")
    x = pair.x[rows]
    plan = _plan(pair)
    total = len(pair.models) + len(plan)

    def told(model: ComparedModel, done: int) -> np.ndarray:
        return entropies(
            model, x, lambda share: report("learning how much noise each patch bears", (done + share) / total)
        )

    found = {"student": told(pair.student, 0), "rows": rows, "foreground": foreground(x)}
    found |= {"select": np.array(str(asked.get("select", "")))}
    if pair.teacher:
        found["teacher"] = told(pair.teacher, 1)
    return found | _course(pair, plan, told, len(pair.models))


def _plan(pair: ComparedPair) -> list[Stop]:
    """Checkpoints of the student's run, at most CHECKPOINTS; none where it is no run."""
    party = pair.question.student
    kept = list(stops(Path(party.folder))) if party.folder and pair.student.net else []
    places = sorted({round(place) for place in np.linspace(0, len(kept) - 1, min(len(kept), CHECKPOINTS))})
    return [kept[place] for place in places]


def _course(pair: ComparedPair, plan: list[Stop], told: Any, done: int) -> Arrays:
    """Return the student's entropies at its checkpoints; the student is put back afterwards."""
    net, spec = pair.student.net, pair.question.student.spec
    if not plan or net is None or not spec:
        return {}
    last = {name: weight.clone() for name, weight in net.state_dict().items()}
    courses = []
    try:
        for place, stop in enumerate(plan):
            net.load_state_dict(stop.weights)
            courses.append(told(pair.student, done + place))
    finally:
        net.load_state_dict(last)
    learned = [name for name, _ in net.named_parameters()]
    begun = first(parse(spec), pair.shape, len(pair.classes))
    way = moved([begun, *(stop.weights for stop in plan)], learned)
    return {"course": np.stack(courses), "steps": np.array([stop.step for stop in plan]), "moved": way}


def moved(course: list[Weights], names: list[str]) -> np.ndarray:
    """How far weights went from the first to each later of T + 1 points, in lengths of the first: (T,)."""
    flat = [torch.cat([weights[name].flatten().double().cpu() for name in names]) for weights in course]
    legs = [(after - before).norm() for before, after in pairwise(flat)]
    way: np.ndarray = (torch.stack(legs).cumsum(0) / flat[0].norm()).numpy()
    return way


def cells(side: int, patches: int) -> Tensor:
    """Which of the patches along one side each pixel lies in: (side,) int64."""
    return torch.arange(side) * patches // side


def foreground(x: Tensor) -> np.ndarray:
    """Patches (M, g, g) of raw images (M, K, H, W) that are brighter than the mean of their image's patches."""
    height, width = x.shape[2:]
    rows, columns = (cells(side, min(SIDE, side)) for side in (height, width))
    onto = [torch.nn.functional.one_hot(place).double() for place in (rows, columns)]
    down, across = (one / one.sum(0) for one in onto)
    bright = down.T @ x.double().mean(1) @ across
    return (bright > bright.mean((1, 2), keepdim=True)).numpy()


def entropies(model: ComparedModel, x: Tensor, report: Any) -> np.ndarray:
    """How uncertain each patch may be before the last stage's feature changes: entropies (M, g, g) in nats.

    Noise N(0, sigma^2) with a sigma of its own for each patch is added to pixels from 0 to 1. Learned is what minimises
    E|f(x + noise) - f(x)|^2 / d^2 - (2 / G) sum of H over the G patches, H = ln sigma + ln(2 pi e) / 2, where d^2 is
    what equal noise of TINY everywhere changes. So the feature may change as much as d in all.

    Source: Cheng et al., Explaining Knowledge Distillation by Quantifying the Knowledge, CVPR 2020, equations 1 to 3.
    """
    height, width = x.shape[2:]
    rows, columns = (cells(side, min(SIDE, side)) for side in (height, width))
    images = x.float()
    with torch.no_grad():
        clean = _feature(model, images)
    chance = torch.Generator().manual_seed(0)
    depth = torch.full((len(x), int(rows[-1]) + 1, int(columns[-1]) + 1), log(TINY))
    unit = _change(model, images, clean, depth, rows, columns, chance, 4 * DRAWS).detach().clamp(min=1e-12)
    depth.requires_grad_()
    rule = torch.optim.Adam([depth], lr=RATE, betas=(0.8, 0.95))
    settled = []
    for step in range(STEPS):
        rule.param_groups[0]["lr"] = RATE * (1 - step / STEPS)
        changed = _change(model, images, clean, depth, rows, columns, chance, DRAWS)
        loss = (changed / unit - 2 * depth.mean((1, 2))).sum()
        (depth.grad,) = torch.autograd.grad(loss, [depth])
        rule.step()
        settled.append(depth.detach().clone())
        report((step + 1) / STEPS)
    kept = torch.stack(settled[-STEPS // 4 :]).mean(0)  # the mean of the last steps, as each is noisy
    return (kept + log(2 * pi * e) / 2).numpy()


def _feature(model: ComparedModel, images: Tensor) -> Tensor:
    """Return the last stage's feature as vectors (M, K), float32."""
    found: Tensor = model.through(images).features[-1].float().flatten(1).cpu()
    return found


def _change(
    model: ComparedModel, images: Tensor, clean: Tensor, depth: Tensor, rows: Tensor, columns: Tensor,
    chance: torch.Generator, draws: int,
) -> Tensor:  # fmt: skip
    """Mean squared change (M,) of the feature under noise of exp(depth) (M, g, g), in pairs of opposite draws."""
    sigma = depth.exp()[:, rows][:, :, columns][:, None]
    noise = torch.randn(draws, *images.shape, generator=chance)
    moves = 255 * sigma * torch.cat([noise, -noise])
    seen = (images + moves).flatten(0, 1)
    changed = (_feature(model, seen) - clean.repeat(2 * draws, 1)).square().sum(1)
    return changed.view(2 * draws, -1).mean(0)
