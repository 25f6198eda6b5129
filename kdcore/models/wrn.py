"""Wide residual networks for CIFAR (Zagoruyko and Komodakis 2016): depth 6n + 4, normalisation before convolution.

The last block ends in the normalisation and ReLU before the pooling, which the distillation benchmarks do not count as
part of a stage (`staged` in net.py).
"""

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from kdcore.contracts.model import Model
from kdcore.contracts.net import Net
from kdcore.models._parts import conv, head, image, kaiming


def _bn_relu(channels: int) -> list[nn.Module]:
    return [nn.BatchNorm2d(channels), nn.ReLU()]


class _PreActivation(nn.Module):
    """Two normalised 3x3 convolutions around a shortcut; where the width changes, the shortcut is normalised too."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.entry = nn.Sequential(*_bn_relu(inputs))
        self.body = nn.Sequential(conv(inputs, outputs, stride=stride), *_bn_relu(outputs), conv(outputs, outputs))
        self.shortcut = None if inputs == outputs else conv(inputs, outputs, kernel=1, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        """From (B, inputs, H, W) to (B, outputs, H / stride, W / stride)."""
        entry = self.entry(x)
        out: Tensor = self.body(entry) + (x if self.shortcut is None else self.shortcut(entry))
        return out


def _stage(inputs: int, outputs: int, count: int, stride: int) -> list[nn.Module]:
    """`count` blocks, the first of which changes the shape."""
    return [_PreActivation(inputs, outputs, stride), *(_PreActivation(outputs, outputs, 1) for _ in range(count - 1))]


class WRN(Model):
    """A wide residual network; "40-2" has 40 layers and twice the basic width."""

    title: ClassVar[str] = "Wide ResNet"
    family: ClassVar[str] = "CIFAR"
    variant: Literal["16-1", "16-2", "40-1", "40-2"] = Field("16-2", description="Depth and widening factor.")

    def build(self, shape: tuple[int, ...], classes: int) -> Net:
        """Return a network for images of at least 8x8 pixels."""
        channels = image(shape, "A wide ResNet", least=8)
        depth, factor = map(int, self.variant.split("-"))
        count = (depth - 4) // 6
        first, second, third = (width * factor for width in (16, 32, 64))
        blocks = [
            nn.Sequential(conv(channels, 16), *_stage(16, first, count, stride=1)),
            nn.Sequential(*_stage(first, second, count, stride=2)),
            nn.Sequential(*_stage(second, third, count, stride=2), *_bn_relu(third)),
        ]
        net = Net(blocks, head(third, classes), tail=2)  # the last normalisation and ReLU
        net.apply(kaiming)
        return net
