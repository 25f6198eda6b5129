"""Float64 arithmetic with explicit loops that tests compare the losses with; nothing of kdcore is called here."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

Row = Sequence[float]


def normal(*shape: int, scale: float = 1.0, seed: int = 0) -> Tensor:
    """Normal values of any shape."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * scale


def draw(rows: int, columns: int, scale: float = 1.0, seed: int = 0) -> Tensor:
    """Normal logits."""
    return normal(rows, columns, scale=scale, seed=seed)


def rows_of(logits: Tensor) -> list[list[float]]:
    """The values, as python floats."""
    found: list[list[float]] = logits.double().tolist()
    return found


def log_softmax(row: Row, temperature: float = 1.0) -> list[float]:
    """Log-probabilities of one row of logits."""
    top = max(row) / temperature
    log_sum = top + math.log(sum(math.exp(value / temperature - top) for value in row))
    return [value / temperature - log_sum for value in row]


def softmax(row: Row, temperature: float = 1.0) -> list[float]:
    """Probabilities of one row of logits."""
    return [math.exp(value) for value in log_softmax(row, temperature)]


def divergence(log_p: Row, log_q: Row) -> float:
    """KL of two rows of log-probabilities; a class of probability 0 adds nothing."""
    return sum(math.exp(a) * (a - b) for a, b in zip(log_p, log_q, strict=True) if math.exp(a) > 0)


def entropy(row: Row) -> float:
    """Entropy in nats of the softmax of one row of logits."""
    return -sum(math.exp(value) * value for value in log_softmax(row) if math.exp(value) > 0)


def soft_kl(student: Tensor, teacher: Tensor, temperature: float) -> float:
    """T^2 KL(teacher || student), averaged over rows."""
    pairs = zip(rows_of(teacher), rows_of(student), strict=True)
    found = [divergence(log_softmax(t, temperature), log_softmax(s, temperature)) for t, s in pairs]
    return temperature**2 * float(np.mean(found))


def label_loss(student: Tensor, labels: Tensor) -> float:
    """Cross-entropy averaged over labelled rows, 0 without any."""
    pairs = zip(rows_of(student), labels.tolist(), strict=True)
    found = [-log_softmax(row)[label] for row, label in pairs if label >= 0]
    return float(np.mean(found)) if found else 0.0
