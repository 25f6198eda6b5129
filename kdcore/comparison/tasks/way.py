"""What both models say along the straight line from one row to another: where each changes its answer."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from kdcore.comparison.tasks._asked import Asked, image, shown, sides
from kdcore.comparison.tasks.pair import ComparedModel, ComparedPair
from kdcore.errors import BadInput, unknown

STEPS = 21
PICTURES = 5  # of the way, the ends among them
CHUNK = 8192  # rows compared at a time
GOALS = ("teacher", "student", "beside")


def answer(pair: ComparedPair, asked: Asked) -> dict[str, Any]:
    """Both models at 21 places between {"row"} or {"pixels"} and where {"to"} says.

    {"to"} is "beside", the case's row {"beside"}; or "teacher" or "student", the nearest training row whose label is
    what that model answers.

    Raises:
        BadInput: there is no such row.
    """
    x = image(pair, asked)
    answers = {name: int(model.logits(x).argmax()) for name, model in sides(pair).items()}
    end, told = _end(pair, asked, x, answers)
    share = torch.linspace(0, 1, STEPS)
    way = torch.lerp(x.float(), end.float(), share.view(-1, *[1] * (x.ndim - 1)))
    classes = _classes(pair, x, answers, told["label"])
    found = {name: _along(model, way, share, classes) for name, model in sides(pair).items()}
    pictures = [shown(way[k : k + 1]) for k in torch.linspace(0, STEPS - 1, PICTURES).round().int().tolist()]
    return {"share": share.tolist(), "classes": classes, "end": told, "pictures": pictures, **found}


def _end(pair: ComparedPair, asked: Asked, x: Tensor, answers: dict[str, int]) -> tuple[Tensor, dict[str, Any]]:
    """Return the row (1, ...) at the end of the way, and what is known of it."""
    goal = str(asked["to"])
    if goal not in GOALS:
        raise unknown("goal", goal, GOALS)
    if goal == "beside":
        row = int(asked["beside"])
        return pair.row(row), {"row": row, "label": int(pair.labels[row]), "training": False}
    if goal not in answers:
        raise BadInput("There is no teacher here; take the way to the student's answer.")
    place = answers[goal]
    own = int(asked["row"]) if pair.question.where == "train" and asked.get("pixels") is None else -1
    row = nearest_of(pair, x, place, own)
    return pair.train_x[row : row + 1], {"row": row, "label": place, "training": True}


def nearest_of(pair: ComparedPair, x: Tensor, label: int, own: int = -1) -> int:
    """Return the training row with a label that is nearest to an input (1, ...) in its raw values; `own` does not
    count.

    Raises:
        BadInput: no training row has that label.
    """
    rows = torch.from_numpy(pair.data.train.y == label).nonzero()[:, 0]
    rows = rows[rows != own]
    if not len(rows):
        raise BadInput(f"No training row is {pair.classes[label]}, so there is none to go to; choose another goal.")
    gaps = [(pair.train_x[part].float() - x.float()).flatten(1).norm(dim=1) for part in torch.split(rows, CHUNK)]
    return int(rows[torch.cat(gaps).argmin()])


def _classes(pair: ComparedPair, x: Tensor, answers: dict[str, int], label: int) -> list[int]:
    """Return the two classes that are followed: both answers, or the common one and the end's label or the
    runner-up.
    """
    first, other = answers.get("teacher", answers["student"]), answers["student"]
    if first == other:
        likely = pair.student.logits(x)[0].argsort(descending=True).tolist()
        other = label if label not in (first, -1) else next((k for k in likely if k != first), first)
    return [first, other]


def _along(model: ComparedModel, way: Tensor, share: Tensor, classes: list[int]) -> dict[str, Any]:
    """Probabilities (21, 2) of the two classes, the answers, and where on the way they change."""
    probability = model.logits(way).softmax(1)
    answers = probability.argmax(1)
    changes = (answers[1:] != answers[:-1]).nonzero()[:, 0] + 1
    flips = [{"share": float(share[k]), "to": int(answers[k])} for k in changes.tolist()]
    return {"probability": probability[:, classes].tolist(), "answers": answers.tolist(), "flips": flips}
