"""Mixed inputs: mixup blends a row with a partner, CutMix pastes a box of the partner into it.

Source: Zhang et al., mixup, ICLR 2018, arXiv 1710.09412; Yun et al., CutMix, ICCV 2019, arXiv 1905.04899. Shares are
drawn from Beta(1, 1), which is uniform, on the CPU, so that the device never waits and a seed gives the same rows
everywhere.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from kdcore.device import onto


def partners(rows: int, generator: Generator, device: torch.device) -> Tensor:
    """For each row (B,) int64 the row that is mixed into it, a random order of all."""
    return onto(torch.randperm(rows, generator=generator), device)


def shares(rows: int, generator: Generator, device: torch.device) -> Tensor:
    """How much of each row (B,) stays its own, uniform in [0, 1)."""
    return onto(torch.rand(rows, generator=generator), device)


def blended(inputs: Tensor, partner: Tensor, share: Tensor) -> Tensor:
    """share * x + (1 - share) * x[partner], for inputs (B, ...), partner (B,) int64 and share (B,)."""
    own = share.view(-1, *[1] * (inputs.dim() - 1))
    return torch.lerp(inputs[partner], inputs, own)


def boxes(rows: int, size: tuple[int, ...], generator: Generator) -> Tensor:
    """One box for each row, as bool (B, *size): its area is uniform, its centre anywhere, and the rim cuts it off."""
    side = (1 - torch.rand(rows, 1, generator=generator)) ** (1 / len(size)) * torch.tensor(size)
    centre = torch.rand(rows, len(size), generator=generator) * torch.tensor(size)
    inside = torch.ones(rows, *size, dtype=torch.bool)
    for axis, length in enumerate(size):
        within = (torch.arange(length) + 0.5 - centre[:, [axis]]).abs() <= side[:, [axis]] / 2
        inside = inside & within.view(rows, *(length if place == axis else 1 for place in range(len(size))))
    return inside


def mixed_cross_entropy(logits: Tensor, labels: Tensor, partner: Tensor, share: Tensor) -> Tensor:
    """Cross-entropy in nats with both labels of mixed rows, weighted by their shares; 0 where no row is labelled.

    Args:
        logits: (B, C).
        labels: (B,) int64, -1 where unlabelled; such a label counts for nothing.
        partner: (B,) int64, the row that is mixed in.
        share: (B,) how much of a row is its own.
    """
    losses, weights = [], []
    for targets, weight in ((labels, share), (labels[partner], 1 - share)):
        losses.append(weight * F.cross_entropy(logits.float(), targets, ignore_index=-1, reduction="none"))
        weights.append(weight * (targets >= 0))
    return torch.stack(losses).sum() / torch.stack(weights).sum().clamp(min=1e-6)
