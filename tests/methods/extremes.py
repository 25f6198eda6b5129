"""Batches that losses of logits find hard: the student's and the teacher's logits (B, C), and targets (B,)."""

import numpy as np
import torch
from situation import situation
from torch import Tensor

from kdcore.contracts.method import Batch, Method
from kdcore.contracts.outputs import Outputs

Case = tuple[Tensor, Tensor, Tensor]


def _draw(rows: int, classes: int, scale: float = 1.0, seed: int = 0) -> Case:
    generator = torch.Generator().manual_seed(seed)
    student, teacher = (torch.randn(rows, classes, generator=generator) * scale for _ in range(2))
    return student, teacher, torch.arange(rows) % classes


def _sure(rows: int, classes: int) -> Case:
    student, _, targets = _draw(rows, classes, seed=1)
    return student, torch.nn.functional.one_hot(targets, classes) * 50.0, targets


def _equal(rows: int, classes: int) -> Case:
    student, teacher, targets = _draw(1, classes, seed=2)
    return student.repeat(rows, 1), teacher.repeat(rows, 1), targets.repeat(rows)


def _last(rows: int, classes: int) -> Case:
    student, teacher, _ = _draw(rows, classes, seed=3)
    return student, teacher, teacher.argmin(1)


CASES: dict[str, Case] = {
    "random": _draw(6, 5),
    "wide": _draw(5, 7, 5.0, seed=4),
    "huge": _draw(4, 5, 1e3, seed=5),
    "sure teacher": _sure(5, 4),
    "equal rows": _equal(4, 5),
    "target ranked last": _last(5, 6),
    "one row": _draw(1, 5, seed=6),
    "two classes": _draw(5, 2, 2.0, seed=7),
    "one row of two classes": _draw(1, 2, seed=8),
}


def plain(logits: Tensor) -> np.ndarray:
    """The same in float64, for a slow loop."""
    return logits.double().numpy()


def softmax(row: np.ndarray) -> np.ndarray:
    """Probabilities of one row in float64."""
    weights = np.exp(row - row.max())
    return weights / weights.sum()


def batch_of(method: Method, case: Case) -> Batch:
    """A batch with the logits and labels of a case, in the middle of a run."""
    student, teacher, targets = case
    batch = situation(method, len(targets), student.shape[1]).batch
    return batch._replace(student=Outputs(student, ()), teacher=Outputs(teacher, ()), labels=targets)
