"""MobileNetV2 (Sandler et al. 2018) for CIFAR, as in the distillation benchmarks.

Compared with the original, the blocks of 24 channels keep the size of their input, as images are small, activations are
ReLU without a ceiling, and the first block has an expanding layer too, by a factor of 1. The last block ends in the 1x1
convolution to 1280 channels, which the benchmarks do not count as part of a stage (`staged` in net.py).
"""

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from kdcore.contracts.model import Model
from kdcore.contracts.net import Net
from kdcore.models._parts import conv_bn, conv_bn_relu, head, image, kaiming

LAST = 1280
STAGES = (  # per stage: (expansion, channels, blocks, stride)
    ((1, 16, 1, 1), (6, 24, 2, 1)),
    ((6, 32, 3, 2),),
    ((6, 64, 4, 2), (6, 96, 3, 1)),
    ((6, 160, 3, 2), (6, 320, 1, 1)),
)


class _Inverted(nn.Module):
    """Expand, filter each channel, project; with a shortcut where the shape stays."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        middle = inputs * expansion
        self.body = nn.Sequential(
            *conv_bn_relu(inputs, middle, kernel=1),
            *conv_bn_relu(middle, middle, stride=stride, groups=middle),
            *conv_bn(middle, outputs, kernel=1),
        )
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """From (B, inputs, H, W) to (B, outputs, H / stride, W / stride)."""
        out: Tensor = self.body(x)
        return x + out if self.shortcut else out


class MobileNetV2(Model):
    """Four stages of inverted residual blocks."""

    title: ClassVar[str] = "MobileNetV2 (CIFAR)"
    family: ClassVar[str] = "CIFAR"
    variant: Literal["0.5", "1.0"] = Field("0.5", description="Width; the distillation benchmarks use 0.5.")

    def build(self, shape: tuple[int, ...], classes: int) -> Net:
        """Return a network for images of at least 16x16 pixels."""
        channels, width = image(shape, "MobileNetV2", least=16), float(self.variant)
        inputs = int(32 * width)
        stages: list[list[nn.Module]] = []
        for stage in STAGES:
            layers: list[nn.Module] = [] if stages else conv_bn_relu(channels, inputs, stride=2)
            for expansion, full, count, stride in stage:
                outputs = int(full * width)
                layers += [_Inverted(inputs, outputs, stride, expansion)]
                layers += [_Inverted(outputs, outputs, 1, expansion) for _ in range(count - 1)]
                inputs = outputs
            stages.append(layers)
        stages[-1] += conv_bn_relu(inputs, LAST, kernel=1)
        net = Net([nn.Sequential(*layers) for layers in stages], head(LAST, classes), tail=3)
        net.apply(kaiming)
        return net
