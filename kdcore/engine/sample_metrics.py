"""How alike two samples are, of answers or of images. Directions and weights are fixed: nothing is drawn by chance."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

DIRECTIONS = 64
FEATURES = (16, 32, 64)  # channels of the fixed network
STEEPEST = 0.2  # slope of its leaky ReLU


def sliced_wasserstein(x: Tensor, y: Tensor) -> float:
    """Mean over fixed directions of the 1-D Wasserstein-1 distance of the projections of x (N, D) and y (N, D).

    Source: Bonneel, Rabin, Peyre and Pfister, Sliced and Radon Wasserstein Barycenters of Measures, Journal of
    Mathematical Imaging and Vision 51, 2015; in one dimension the distance is that of the sorted values.
    """
    drawn = torch.randn(x.shape[1], DIRECTIONS, generator=torch.Generator().manual_seed(0), dtype=torch.double)
    directions = F.normalize(drawn, dim=0).to(x.device)
    ours, theirs = ((rows.double() @ directions).sort(0).values for rows in (x, y))
    return float((ours - theirs).abs().mean())


def frechet(x: Tensor, y: Tensor) -> float:
    """Squared Frechet distance of the Gaussians with mean and covariance of x (N, D) and y (M, D).

    |m_x - m_y|^2 + tr(S_x + S_y - 2 (S_x S_y)^(1/2)); the last trace is the sum of the singular values of
    S_x^(1/2) S_y^(1/2).

    Source: Dowson and Landau, The Frechet Distance between Multivariate Normal Distributions, Journal of Multivariate
    Analysis 12, 1982.
    """
    (mean_x, root_x, spread_x), (mean_y, root_y, spread_y) = (_gaussian(rows.double()) for rows in (x, y))
    shared = torch.linalg.svdvals(root_x @ root_y).sum()
    return max(0.0, float((mean_x - mean_y).square().sum() + spread_x + spread_y - 2 * shared))


def _gaussian(rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean (D,), the root of the covariance (D, D) and its trace, divided by N - 1."""
    centred = rows - rows.mean(0)
    covariance = centred.T @ centred / max(1, len(rows) - 1)
    values, vectors = torch.linalg.eigh(covariance)
    return rows.mean(0), (vectors * values.clamp(min=0).sqrt()) @ vectors.T, covariance.trace()


class FixedFeatures(nn.Module):
    """Images (N, K, H, W) in [-1, 1] to features (N, 64): three 3 x 3 convolutions that nobody trains.

    Random features see shape and texture and know no class, so they favour no network of the run; their scale means
    nothing beyond a comparison on the same data. The weights are the same in every run.

    Source: Naeem et al., Reliable Fidelity and Diversity Metrics for Generative Models, ICML 2020, section 3, for
    random networks as a space to compare in; this small one is ours.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        chance = torch.Generator().manual_seed(0)
        for place, width in enumerate(FEATURES):
            drawn = torch.randn(width, channels, 3, 3, generator=chance)
            self.register_buffer(f"weight_{place}", drawn * (2 / (9 * channels)) ** 0.5)
            channels = width

    def forward(self, images: Tensor) -> Tensor:
        """Return the mean of each channel over all positions."""
        for place in range(len(FEATURES)):
            weight = self.get_buffer(f"weight_{place}")
            images = F.leaky_relu(F.conv2d(images, weight, stride=2 if place else 1, padding=1), STEEPEST)
        return images.mean((2, 3))
