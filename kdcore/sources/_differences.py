"""Gradients by asking alone: forward differences along random directions."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from kdcore.device import onto
from kdcore.generation.source import Scene
from kdcore.seeding import mix

AT_ONCE = 4096  # images in one question, so that many directions fit into memory


def unit_directions(scene: Scene, count: int, shape: torch.Size, place: int, salt: int) -> Tensor:
    """For each image of a batch of `shape` (B, ...) so many directions (count, B, ...), uniform on the unit sphere."""
    chance = torch.Generator().manual_seed(mix(scene.seed, place, salt))
    drawn = torch.randn(count, *shape, generator=chance)
    length = drawn.flatten(2).norm(dim=2).reshape(count, shape[0], *(1,) * (len(shape) - 1))
    directions: Tensor = onto(drawn / length, scene.x.device)
    return directions


@torch.no_grad()
def forward_differences(losses: Callable[[Tensor], Tensor], points: Tensor, directions: Tensor, reach: float) -> Tensor:
    """Return an estimate (B, ...) of each point's gradient: (d/m) sum over i of (l(x + mu u_i) - l(x)) / mu * u_i.

    With unit directions its mean is the gradient of a linear l; the cosine to it is about sqrt(m / (m + d)). It costs
    m + 1 values a point.

    Source: Duchi, Jordan, Wainwright and Wibisono, Optimal Rates for Zero-Order Convex Optimization, IEEE Transactions
    on Information Theory 2015; Truong et al., Data-Free Model Extraction, CVPR 2021, equation 9.

    Args:
        losses: from points (N, ...) to a loss each (N,); N is a multiple of B.
        points: (B, ...), d values each.
        directions: (m, B, ...), of length 1.
        reach: mu.
    """
    probes = torch.cat([points[None], points + reach * directions]).flatten(0, 1)
    rows = len(points) * max(1, AT_ONCE // len(points))
    found = torch.cat([losses(part) for part in torch.split(probes, rows)]).view(-1, len(points))
    slopes = (found[1:] - found[:1]) / reach
    values = points[0].numel()
    estimate: Tensor = values * (slopes.reshape(*slopes.shape, *(1,) * (points.dim() - 1)) * directions).mean(0)
    return estimate
