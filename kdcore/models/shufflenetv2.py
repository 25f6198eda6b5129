"""ShuffleNetV2 (Ma et al. 2018) for CIFAR, as in the distillation benchmarks: a 1x1 stem, no early pooling.

The last block ends in the 1x1 convolution to 1024 channels, which the benchmarks do not count as part of a stage
(`staged` in net.py).
"""

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from kdcore.contracts.model import Model
from kdcore.contracts.net import Net
from kdcore.models._parts import conv_bn, conv_bn_relu, head, image, kaiming

STEM, LAST = 24, 1024
WIDTHS = {"0.5": (48, 96, 192), "1.0": (116, 232, 464), "1.5": (176, 352, 704)}
UNITS = (3, 7, 3)  # per stage, after the one that halves the size


def _shuffled(left: Tensor, right: Tensor) -> Tensor:
    """Two branches (B, K, H, W) interleaved channel by channel, (B, 2K, H, W)."""
    return torch.stack((left, right), dim=2).flatten(1, 2)


class _Unit(nn.Module):
    """Half of the channels pass by, the other half are filtered.

    The last unit of a stage leaves its ReLU to a layer after it, which does not touch what passes by.
    """

    def __init__(self, channels: int, last: bool) -> None:
        super().__init__()
        half = channels // 2
        ending = conv_bn(half, half, kernel=1) if last else conv_bn_relu(half, half, kernel=1)
        self.body = nn.Sequential(*conv_bn_relu(half, half, kernel=1), *conv_bn(half, half, groups=half), *ending)

    def forward(self, x: Tensor) -> Tensor:
        """From and to (B, channels, H, W)."""
        kept, filtered = x.chunk(2, dim=1)
        return _shuffled(kept, self.body(filtered))


class _Down(nn.Module):
    """Both branches read the whole input at stride 2."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        half = outputs // 2
        self.left = nn.Sequential(
            *conv_bn(inputs, inputs, stride=2, groups=inputs), *conv_bn_relu(inputs, half, kernel=1)
        )
        self.right = nn.Sequential(
            *conv_bn_relu(inputs, half, kernel=1),
            *conv_bn(half, half, stride=2, groups=half),
            *conv_bn_relu(half, half, kernel=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """From (B, inputs, H, W) to (B, outputs, H / 2, W / 2)."""
        return _shuffled(self.left(x), self.right(x))


class ShuffleNetV2(Model):
    """Three stages of shuffled units."""

    title: ClassVar[str] = "ShuffleNetV2 (CIFAR)"
    family: ClassVar[str] = "CIFAR"
    variant: Literal["0.5", "1.0", "1.5"] = Field("1.0", description="Width; the distillation benchmarks use 1.0.")

    def build(self, shape: tuple[int, ...], classes: int) -> Net:
        """Return a network for images of at least 8x8 pixels."""
        channels = image(shape, "ShuffleNetV2", least=8)
        stages = [conv_bn_relu(channels, STEM, kernel=1), [], []]
        inputs = STEM
        for layers, outputs, count in zip(stages, WIDTHS[self.variant], UNITS, strict=True):
            units = [_Unit(outputs, last=place == count) for place in range(1, count + 1)]
            layers += [_Down(inputs, outputs), *units, nn.ReLU()]
            inputs = outputs
        stages[-1] += conv_bn_relu(inputs, LAST, kernel=1)
        net = Net([nn.Sequential(*layers) for layers in stages], head(LAST, classes), tail=3)
        net.apply(kaiming)
        return net
