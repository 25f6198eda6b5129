"""Batches with a wrong teacher, and slow float64 loops that tests of its repairs share."""

import math

import torch
from situation import situation
from slow import Row, draw, rows_of
from torch import Tensor

from kdcore.contracts.method import Batch, Method, ViewOutputs
from kdcore.contracts.outputs import Outputs
from kdcore.methods.sld import SLD


def batch_of(student: Tensor, teacher: Tensor, labels: Tensor, strong: tuple[Tensor, Tensor] | None = None) -> Batch:
    """A batch in the middle of a run with these logits; `strong` are the student's and the teacher's of view two."""
    batch = situation(SLD(), len(student), student.shape[1]).batch
    second = ViewOutputs(*(Outputs(logits, ()) for logits in strong or (student, teacher)), labels)
    return batch._replace(student=Outputs(student, ()), teacher=Outputs(teacher, ()), labels=labels, second=second)


def drawn(rows: int = 6, classes: int = 5, scale: float = 1.0) -> Batch:
    """Two views of rows, with teacher and student right on some and wrong on others."""
    views = [(draw(rows, classes, seed=seed), draw(rows, classes, scale, seed=seed + 1)) for seed in (0, 2)]
    return batch_of(*views[0], torch.arange(rows) % classes, views[1])


def rest_of(log_p: Row, c: int) -> float:
    """log(1 - p[c])."""
    others = [value for place, value in enumerate(log_p) if place != c]
    top = max(others)
    return top + math.log(math.fsum(math.exp(value - top) for value in others))


def top_of(row: Row) -> int:
    return max(range(len(row)), key=lambda c: row[c])


def slow_swap(row: Row, y: int) -> list[float]:
    found, m = list(row), top_of(row)
    if m != y:
        found[m], found[y] = row[y], row[m]
    return found


def swapped(logits: Tensor, labels: Tensor) -> Tensor:
    rows = zip(rows_of(logits), labels.tolist(), strict=True)
    return torch.tensor([slow_swap(row, y) for row, y in rows], dtype=torch.float64)


def values(method: Method, batch: Batch) -> dict[str, float]:
    return {key: term.value.item() for key, term in method.terms(batch, None).items()}
