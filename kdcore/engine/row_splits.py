"""Which training rows a run learns from, which it is shown, and which it keeps apart."""

from __future__ import annotations

import torch
from torch import Tensor

from kdcore.contracts.source import Source

HELD = 0.1  # share of the training rows that a method which asks for "validation" never trains on


def held_out(rows: int, wanted: bool, device: torch.device) -> tuple[Tensor, Tensor]:
    """Of `rows` training rows those to learn from, and those held out, where that is `wanted`."""
    order = torch.arange(rows, device=device)
    if not wanted:
        return order, order[:0]
    order = torch.randperm(rows, generator=torch.Generator().manual_seed(0)).to(device)
    held = max(1, round(HELD * rows))
    return order[held:], order[:held]


def shown(source: Source, learned: Tensor, seed: int) -> Tensor:
    """Of the rows `learned` (N,) those that the source ever shows."""
    drawn = source.drawn(len(learned), seed)
    return learned if drawn is None else learned[drawn.to(learned.device)]


def places(rows: Tensor, count: int) -> Tensor | None:
    """Where each of `count` rows stands in `rows` (P,), 0 for one that does not; None where they are all, in order."""
    if len(rows) == count and bool((rows == torch.arange(count, device=rows.device)).all()):
        return None
    return torch.zeros(count, dtype=torch.long, device=rows.device).index_copy(
        0, rows, torch.arange(len(rows), device=rows.device)
    )
