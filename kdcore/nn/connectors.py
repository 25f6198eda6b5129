"""Layers that give a feature of the student the shape of a feature of the teacher; they learn with the student."""

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from kdcore.contracts.net import pooled

Activation = Literal["relu", "leaky", "none"]
ACTIVATIONS: dict[Activation, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky": partial(nn.LeakyReLU, 0.1),
    "none": nn.Identity,
}


class Pooled(nn.Module):
    """The mean over all positions, as a layer."""

    def forward(self, x: Tensor) -> Tensor:
        """From (B, K, H, W) or (B, K) to (B, K)."""
        return pooled(x)


def connector(
    student: tuple[int, ...], teacher: tuple[int, ...], activation: Activation = "relu", kernel: Literal[1, 3] = 1
) -> nn.Module:
    """Return a convolution (transposed where the map must grow), normalisation and activation between two stage shapes.

    Where one of the two has no positions, both are averaged over theirs and joined by a normalised linear layer without
    activation, as such features may be negative; it answers (B, K) then.

    Args:
        student: (K, H, W) or (K,), of what the layer reads.
        teacher: (K, H, W) or (K,), of what it answers.
        activation: what comes last, between two maps.
        kernel: of the convolution between maps of one size, or brought to one.
    """
    inputs, outputs, size, wish = student[0], teacher[0], student[1:], teacher[1:]
    if not size or not wish:
        return nn.Sequential(Pooled(), nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs))
    layers: list[nn.Module]
    if size == wish:
        layers = [nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)]
    elif all(ours == 2 * theirs for ours, theirs in zip(size, wish, strict=True)):
        layers = [nn.Conv2d(inputs, outputs, 3, stride=2, padding=1)]
    elif all(2 * ours == theirs for ours, theirs in zip(size, wish, strict=True)):
        layers = [nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1)]
    elif all(ours >= theirs for ours, theirs in zip(size, wish, strict=True)):
        layers = [nn.AdaptiveAvgPool2d(wish), nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)]
    else:
        layers = [nn.Upsample(wish), nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)]
    return nn.Sequential(*layers, nn.BatchNorm2d(outputs), ACTIVATIONS[activation]())


def aligned(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Two maps (B, K, H, W) as float32, each averaged down to the smaller of their sizes."""
    height, width = (min(sides) for sides in zip(one.shape[2:], other.shape[2:], strict=True))
    return _averaged(one.float(), height, width), _averaged(other.float(), height, width)


def _averaged(maps: Tensor, height: int, width: int) -> Tensor:
    return maps if maps.shape[2:] == (height, width) else F.adaptive_avg_pool2d(maps, (height, width))
