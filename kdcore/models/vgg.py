"""VGG networks for CIFAR (Simonyan and Zisserman 2015) with batch normalisation and one linear layer at the end."""

from itertools import pairwise
from typing import ClassVar, Literal

from pydantic import Field
from torch import nn

from kdcore.contracts.model import Model
from kdcore.contracts.net import Net
from kdcore.models._parts import conv_bn_relu, head, image, kaiming

WIDTHS = (64, 128, 256, 512, 512)


def _convolution(inputs: int, outputs: int) -> list[nn.Module]:
    """Return a 3x3 convolution with a bias, normalised and rectified."""
    layers = conv_bn_relu(inputs, outputs)
    return [nn.Conv2d(inputs, outputs, 3, padding=1), *layers[1:]]


class VGG(Model):
    """Five blocks; the first three are pooled, as in the distillation benchmarks, where the last four are stages."""

    title: ClassVar[str] = "VGG (CIFAR)"
    family: ClassVar[str] = "CIFAR"
    variant: Literal["8", "13"] = Field("8", description="Depth: one or two convolutions in a stage.")

    def build(self, shape: tuple[int, ...], classes: int) -> Net:
        """Return a network for images of at least 8x8 pixels."""
        channels = image(shape, "A CIFAR VGG", least=8)
        repeats = 0 if self.variant == "8" else 1
        blocks = []
        for stage, (inputs, outputs) in enumerate(pairwise((channels, *WIDTHS))):
            layers: list[nn.Module] = [nn.MaxPool2d(2)] if stage in (1, 2, 3) else []
            layers += _convolution(inputs, outputs)
            for _ in range(repeats):
                layers += _convolution(outputs, outputs)
            blocks.append(nn.Sequential(*layers))
        net = Net(blocks, head(WIDTHS[-1], classes), stem=1)
        net.apply(kaiming)
        return net
