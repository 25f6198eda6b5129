"""Three convolution stages with batch normalisation, each at half the size and twice the width of the one before."""

from typing import ClassVar, Literal

from pydantic import Field
from torch import nn

from kdcore.contracts.model import Model
from kdcore.contracts.net import Net
from kdcore.models._parts import conv_bn_relu, head, image, kaiming


class CNN(Model):
    """A small network for images from 8x8 pixels on."""

    title: ClassVar[str] = "Small CNN"
    family: ClassVar[str] = "Small"
    width: Literal[4, 8, 16, 32, 64] = Field(
        16, description="Channels of the first stage; the next have 2 and 4 times."
    )

    def build(self, shape: tuple[int, ...], classes: int) -> Net:
        """Return a network for images of at least 8x8 pixels."""
        channels, width = image(shape, "The small CNN", least=8), self.width
        blocks = [
            nn.Sequential(*conv_bn_relu(channels, width)),
            nn.Sequential(nn.MaxPool2d(2), *conv_bn_relu(width, 2 * width)),
            nn.Sequential(nn.MaxPool2d(2), *conv_bn_relu(2 * width, 4 * width)),
        ]
        net = Net(blocks, head(4 * width, classes))
        net.apply(kaiming)
        return net
