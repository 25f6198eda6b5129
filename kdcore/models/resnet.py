"""ResNets for CIFAR (He et al. 2016, section 4.2) with the widths of the distillation benchmarks.

Depth is 6n + 2: a stem and three stages of n basic blocks, with projection shortcuts where the shape changes.
"x4" has four times the channels in every stage and twice in the stem.
"""

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from kdcore.contracts.model import Model
from kdcore.contracts.net import Net
from kdcore.models._parts import conv_bn, conv_bn_relu, head, image, kaiming


class _Basic(nn.Module):
    """Two 3x3 convolutions around a shortcut; the last ReLU of a stage is a layer of its own, after its last block."""

    def __init__(self, inputs: int, outputs: int, stride: int, last: bool) -> None:
        super().__init__()
        self.body = nn.Sequential(*conv_bn_relu(inputs, outputs, stride=stride), *conv_bn(outputs, outputs))
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else nn.Sequential(*conv_bn(inputs, outputs, kernel=1, stride=stride))
        self.relu = nn.Identity() if last else nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """From (B, inputs, H, W) to (B, outputs, H / stride, W / stride)."""
        out: Tensor = self.relu(self.body(x) + self.shortcut(x))
        return out


def _stage(inputs: int, outputs: int, count: int, stride: int) -> list[nn.Module]:
    """`count` basic blocks, the first of which changes the shape, and a ReLU."""
    shapes = [(inputs, outputs, stride), *[(outputs, outputs, 1)] * (count - 1)]
    blocks = [_Basic(*shape, last=place == count) for place, shape in enumerate(shapes, 1)]
    return [*blocks, nn.ReLU()]


class ResNet(Model):
    """A residual network whose stem belongs to its first stage."""

    title: ClassVar[str] = "ResNet (CIFAR)"
    family: ClassVar[str] = "CIFAR"
    variant: Literal["8", "14", "20", "32", "44", "56", "110", "8x4", "32x4"] = Field(
        "20", description="Depth; x4 = four times the width."
    )

    def build(self, shape: tuple[int, ...], classes: int) -> Net:
        """Return a network for images of at least 8x8 pixels."""
        channels = image(shape, "A CIFAR ResNet", least=8)
        depth, _, wide = self.variant.partition("x")
        count = (int(depth) - 2) // 6
        stem, first, second, third = (32, 64, 128, 256) if wide else (16, 16, 32, 64)
        blocks = [
            nn.Sequential(*conv_bn_relu(channels, stem), *_stage(stem, first, count, stride=1)),
            nn.Sequential(*_stage(first, second, count, stride=2)),
            nn.Sequential(*_stage(second, third, count, stride=2)),
        ]
        net = Net(blocks, head(third, classes))
        net.apply(kaiming)
        return net
