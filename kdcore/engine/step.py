"""One optimiser step of the student, and what it leaves behind."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from operator import add
from typing import NamedTuple

import torch
from torch import Tensor

from kdcore.contracts.method import Batch, Method, Term
from kdcore.engine.setup import Setup


class Kept(NamedTuple):
    """What one step leaves behind, on the device until a point is due."""

    terms: dict[str, Term]
    logits: Tensor  # (B, C)
    labels: Tensor  # (B,)
    metrics: dict[str, Tensor]  # scalars


def total(terms: Iterable[Term]) -> Tensor:
    """The scalar that training minimises."""
    return reduce(add, (term.weight * term.value for term in terms))


def learn(setup: Setup, batch: Batch, rate: float) -> Kept:
    """Update the weights, and let the method remember.

    Args:
        setup: its networks are changed.
        batch: the student's answers have gradients.
        rate: the learning rate.
    """
    method, state = setup.method, setup.state
    terms = method.terms(batch, state)
    setup.rule.forget_gradients()
    total(terms.values()).backward()  # type: ignore[no-untyped-call]
    setup.rule.step(rate)
    with torch.no_grad():
        metrics = method.metrics(batch, state) if type(method).metrics is not Method.metrics else {}
        method.after_step(batch, state)
    settled = {name: Term(term.weight, term.value.detach()) for name, term in terms.items()}
    return Kept(settled, batch.student.logits.detach(), batch.labels, metrics)
