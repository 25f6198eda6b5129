"""A small change of one image after which the two models agree, or, where they agree, after which they differ."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from kdcore.comparison.tasks._asked import BYTE, Asked, image, shown
from kdcore.comparison.tasks.pair import ComparedModel, ComparedPair
from kdcore.errors import BadInput

MOST = 50  # steps
BEYOND = 4e-3  # of the largest logit and more with each step, so that ties and corners between classes are passed
GRAINS = 100  # places on the way back at which it is tried whether less is enough


class SmallestChange(NamedTuple):
    """Where a search ended."""

    x: Tensor | None  # (1, ...) float32, raw; None where nothing was found
    steps: int


def answer(pair: ComparedPair, asked: Asked) -> dict[str, Any]:
    """Return the change of {"row"} or {"pixels"}: image, difference, its norm, and both answers before and after.

    Raises:
        BadInput: there is no teacher, or the student's inside is not known.
    """
    if pair.teacher is None:
        raise BadInput("There is no teacher here with whom the student could agree.")
    if pair.student.net is None:
        raise BadInput(f"{pair.student.title} only answers; the search needs its slopes.")
    x = image(pair, asked).float()
    before = answers(pair.student, pair.teacher, x)[0].tolist()
    found = search(pair.student, pair.teacher, x)
    told: dict[str, Any] = {"goal": "agree" if before[0] != before[1] else "differ", "before": before}
    told |= {"steps": found.steps, "found": found.x is not None, "image": shown(x)}
    if found.x is not None:
        told |= {"after": answers(pair.student, pair.teacher, found.x)[0].tolist(), "changed": shown(found.x)}
        told |= change(found.x - x)
    return told


def change(gap: Tensor) -> dict[str, Any]:
    """Return a difference (1, ...) of raw values: itself, its Euclidean norm and its largest part, for images of
    pixels from 0 to 1.
    """
    unit = BYTE if gap.ndim == 4 else 1
    return {"gap": (gap[0] / unit).tolist(), "norm": float(gap.norm() / unit), "largest": float(gap.abs().max() / unit)}


def answers(student: ComparedModel, teacher: ComparedModel, x: Tensor) -> Tensor:
    """(N, 2) the answers of student and teacher to raw rows."""
    return torch.stack([model.logits(x).argmax(1) for model in (student, teacher)], dim=1)


def search(student: ComparedModel, teacher: ComparedModel, x: Tensor) -> SmallestChange:
    """Return steps across the student's nearest boundary that leads where it should, kept among images; then the way
    back.

    Each step is the shortest that would close the student's margin were it linear (Moosavi-Dezfooli, Fawzi and
    Frossard, DeepFool, CVPR 2016). What is found bounds the smallest change from above.

    Args:
        x: (1, ...) raw.
    """
    ours, theirs = answers(student, teacher, x)[0].tolist()
    goal, place = ours != theirs, x
    for step in range(1, MOST + 1):
        place = _stepped(student, place, theirs if goal else None, BEYOND * step)
        ours, theirs = answers(student, teacher, place)[0].tolist()
        if (ours == theirs) == goal:
            return SmallestChange(_shortened(student, teacher, x, place, goal), step)
    return SmallestChange(None, MOST)


def _stepped(student: ComparedModel, x: Tensor, aim: int | None, beyond: float) -> Tensor:
    """One step that makes the student answer `aim`, or the runner-up where it is None, by a margin of `beyond`."""
    x = x.clone().requires_grad_()
    with torch.enable_grad():
        logits = student.through(x).logits[0].float()
        order = logits.argsort(descending=True).tolist()
        margin = logits[order[0]] - logits[order[min(1, len(order) - 1)] if aim is None else aim]
        (slope,) = torch.autograd.grad(margin, x)
    if x.ndim == 4:  # a pixel that is black or white already can only come back
        slope = slope.where(((x > 0) | (slope < 0)) & ((x < BYTE) | (slope > 0)), 0)
    margin = (margin + beyond * logits.abs().max()).detach().cpu()
    moved: Tensor = (x - margin / slope.square().sum().clamp(min=1e-20) * slope).detach()
    return moved.clamp(0, BYTE) if x.ndim == 4 else moved


def _shortened(student: ComparedModel, teacher: ComparedModel, start: Tensor, end: Tensor, goal: bool) -> Tensor:
    """Return the first place on the straight line from start to end where both agree as `goal` says."""
    share = torch.linspace(0, 1, GRAINS + 1).view(-1, *[1] * (start.ndim - 1))
    way = torch.lerp(start, end, share)
    way[-1] = end[0]
    told = answers(student, teacher, way)
    there = ((told[:, 0] == told[:, 1]) == goal).nonzero()[:, 0]
    return way[int(there[0])][None] if len(there) else end
