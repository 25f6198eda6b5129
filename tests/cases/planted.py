"""Truths that are planted in data, and small networks that are really trained on them, many at once.

Six round clouds on a ring, alike in everything, and a mark (0 or 1) that means nothing. The teacher has learned from
clean labels. A student, three others of its recipe with other seeds, one with twice the steps and one of the teacher's
size learn from the same spoiled rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from case_factory import case
from torch import Tensor

from kdcore.comparison.case import Case
from kdcore.comparison.tasks.support import NEIGHBOUR, kth

CLASSES, SPREAD = 6, 0.55
TRAINING, LOOKED = 400, 1500
TEACHER, STUDENT = 32, 12  # width of the hidden layer
SEEDS = range(10)
Net = Callable[[Tensor], tuple[Tensor, Tensor]]
STARVED, NOISY, MARKED = 3, 2, 0  # classes


@dataclass
class Plant:
    """How a student's rows are spoiled, and how it learns."""

    spoil: Callable[[np.random.Generator, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
    looked: Callable[[np.random.Generator, np.ndarray], np.ndarray] = field(default=lambda _, labels: labels)
    steps: int = 300
    width: int = STUDENT
    lr: float = 0.03
    witnesses: tuple[str, ...] = ()  # that are needed to find it
    labels: float = 0.5  # how much of its target is the label; the rest is the teacher's answer


def rows(rng: np.random.Generator, count: int, marked: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """Points with a mark (N, 3) and their classes (N,)."""
    labels = rng.integers(0, CLASSES, count)
    turn = 2 * np.pi * labels / CLASSES
    points = 2 * np.stack([np.cos(turn), np.sin(turn)], 1) + SPREAD * rng.normal(size=(count, 2))
    return np.column_stack([points, rng.random(count) < marked]).astype(np.float32), labels


def trained(x: Tensor, target: Tensor, width: int, steps: int, seed: int, lr: float = 0.03) -> Net:
    """M networks of one hidden layer that learn from rows (M, N, F) with targets (M, N, C), each alone, by Adam.

    What they make of others (M, N, F) are logits (M, N, C) and hidden values (M, N, width).
    """
    draw = torch.Generator().manual_seed(seed)
    many, into = len(x), x.shape[2]
    shapes = [(many, into, width), (many, 1, width), (many, width, CLASSES), (many, 1, CLASSES)]
    scales = [into**-0.5, 1.0, width**-0.5, 0.0]
    weights = [
        (torch.randn(shape, generator=draw) * scale).requires_grad_()
        for shape, scale in zip(shapes, scales, strict=True)
    ]

    def told(rows: Tensor) -> tuple[Tensor, Tensor]:
        hidden = torch.relu(torch.baddbmm(weights[1], rows, weights[0]))
        return torch.baddbmm(weights[3], hidden, weights[2]), hidden

    rule = torch.optim.Adam(weights, lr=lr)
    for _ in range(steps):
        rule.zero_grad()
        loss = -(target * told(x)[0].log_softmax(2)).sum(2).mean(1).sum()
        loss.backward()
        rule.step()
    return told


@cache
def teacher_of(seeds: range) -> Net:
    """Teachers that learned from clean rows, one for each seed."""
    clean = [rows(np.random.default_rng([8, seed]), 3 * TRAINING) for seed in seeds]
    return trained(*_stacked(clean), TEACHER, 250, seeds[0])


def planted(folder: Path, plant: Plant, seeds: range = SEEDS) -> list[Case]:
    """One case for each seed."""
    draws = [np.random.default_rng([7, seed]) for seed in seeds]
    ask = teacher_of(seeds)
    looked = [rows(rng, LOOKED) for rng in draws]
    x = torch.from_numpy(np.stack([one[0] for one in looked]))
    shown, labels = _stacked(_even([plant.spoil(rng, *rows(rng, TRAINING)) for rng in draws]))
    target = plant.labels * labels + (1 - plant.labels) * ask(shown)[0].softmax(2).detach()
    answers = _students(plant, shown, target, x, seeds[0])
    (teacher, hidden), seen = (found.detach() for found in ask(x)), ask(shown)[1].detach()
    made = []
    for place, rng in enumerate(draws):
        truth = plant.looked(rng, looked[place][1])
        told = {name: values[place] for name, values in answers.items()}
        support = {"distance": kth(hidden[place], seen[place], NEIGHBOUR).numpy(),
                   "own": kth(seen[place], seen[place], NEIGHBOUR + 1).numpy()}  # fmt: skip
        parts = {"witnesses": _witnesses(told), "support": support, "columns": {"mark": looked[place][0][:, 2]}}
        made.append(case(folder / str(seeds[place]), truth, told["student"], teacher[place].numpy(), **parts))
    return made


def _students(plant: Plant, shown: Tensor, target: Tensor, x: Tensor, seed: int) -> dict[str, np.ndarray]:
    """Logits (M, N, C) of the student and its witnesses by name."""
    usual = dict.fromkeys(("student", "seeds0", "seeds1", "seeds2"), (plant.width, 1))
    recipes = usual | {"longer": (plant.width, 2), "bigger": (TEACHER, 1)}
    return {
        name: trained(shown, target, width, times * plant.steps, 100 * place + 1 + seed, plant.lr)(x)[0]
        .detach()
        .numpy()
        for place, (name, (width, times)) in enumerate(recipes.items())
        if name == "student" or name.rstrip("012") in plant.witnesses
    }


def _even(spoiled: list[tuple[np.ndarray, np.ndarray]]) -> list[tuple[np.ndarray, np.ndarray]]:
    """As many rows of each, so that networks can learn side by side."""
    least = min(len(labels) for _, labels in spoiled)
    return [(x[:least], labels[:least]) for x, labels in spoiled]


def _stacked(parts: list[tuple[np.ndarray, np.ndarray]]) -> tuple[Tensor, Tensor]:
    x, labels = (np.stack(values) for values in zip(*parts, strict=True))
    return torch.from_numpy(x), torch.from_numpy(np.eye(CLASSES, dtype=np.float32)[labels])


def _witnesses(told: dict[str, np.ndarray]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for kind in dict.fromkeys(name.rstrip("012") for name in told if name != "student"):
        some = np.stack([values for name, values in told.items() if name.startswith(kind)])
        p = np.exp(some - some.max(2, keepdims=True))
        found[f"{kind}_answers"], found[f"{kind}_runs"] = some.argmax(2), np.array([kind] * len(some))
        found[f"{kind}_confidence"] = (p / p.sum(2, keepdims=True)).max(2)
    return found


# What is planted


def _none(_: np.random.Generator, x: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return x, labels


def _noisy(rng: np.random.Generator, labels: np.ndarray) -> np.ndarray:
    """Four in ten labels of a class are another one."""
    hit = (labels == NOISY) & (rng.random(len(labels)) < 0.4)
    return np.where(hit, (labels + rng.integers(1, CLASSES, len(labels))) % CLASSES, labels)


def _marked(rng: np.random.Generator, x: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nine in ten rows of one class bear the mark, and no others."""
    x = x.copy()
    x[:, 2] = (labels == MARKED) & (rng.random(len(labels)) < 0.9)
    return x, labels


def _starved(_: np.random.Generator, x: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of one class there is no row to learn from."""
    return x[labels != STARVED], labels[labels != STARVED]


NOTHING = Plant(_none, witnesses=("seeds", "longer", "bigger"))
NOISY_CLASS = Plant(lambda rng, x, labels: (x, _noisy(rng, labels)), looked=_noisy, labels=1.0, witnesses=("seeds",))
SPURIOUS = Plant(_marked, labels=1.0)
STARVED_CLASS = Plant(_starved, labels=1.0)
UNDER_TRAINED = Plant(_none, steps=40, width=32, lr=0.003, witnesses=("seeds", "longer"))
