"""How a network is optimised, as a person asks for it. No torch is imported here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any, Literal

from pydantic import Field

from kdcore.frozen import FrozenModel

Json = bool | int | float | str | list[Any] | None


class Schedule(FrozenModel):
    """How the student is optimised."""

    steps: int = Field(1000, ge=1, le=10_000_000, description="Optimiser steps.")
    batch: int = Field(64, ge=2, le=8192, description="Samples in a batch.")
    optimizer: Literal["sgd", "adam", "adamw"] = Field("sgd", description="Update rule.")
    lr: float = Field(0.05, gt=0.0, le=10.0, description="Peak learning rate.")
    momentum: float = Field(0.9, ge=0.0, lt=1.0, description="Momentum of SGD; beta 1 of Adam.")
    nesterov: bool = Field(False, description="Nesterov momentum (SGD only).")
    weight_decay: float = Field(5e-4, ge=0.0, le=1.0, description="Weight decay.")
    decay: Literal["constant", "cosine", "linear", "step"] = Field("cosine", description="Course of the learning rate.")
    warmup: float = Field(0.0, ge=0.0, lt=1.0, description="Share of the run in which the learning rate rises.")
    milestones: tuple[float, ...] = Field(
        (0.625, 0.75, 0.875), description="Shares of the run at which step decay acts."
    )
    gamma: float = Field(0.1, gt=0.0, le=1.0, description="Factor of step decay.")
    precision: Literal["float32", "bf16"] = Field(
        "float32", description="bf16 autocasts the networks; losses stay float32."
    )


def led_for(leading: Sequence[str], knobs: Mapping[str, Any]) -> int:
    """Return steps of a source before the student's first: its updates, in each of the rounds in which a pool is
    filled.

    Args:
        leading: the knobs that say so, see `Source`; none where the student does not wait.
        knobs: their values, and others.
    """
    updates, *rounds = [int(knobs[name]) for name in leading] or [0]
    return updates * (ceil(rounds[0] / rounds[1]) if rounds else 1)
