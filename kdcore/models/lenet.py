"""LeNet-5 (LeCun et al. 1998) with ReLU and max pooling, as distillation papers use it on MNIST."""

from typing import ClassVar, Literal

from pydantic import Field
from torch import nn

from kdcore.contracts.model import Model
from kdcore.contracts.net import Net
from kdcore.errors import BadInput
from kdcore.models._parts import kaiming

SIDES = (28, 32)


class LeNet(Model):
    """Two convolution stages and one of two linear layers; "half" has half the width throughout."""

    title: ClassVar[str] = "LeNet-5"
    family: ClassVar[str] = "Small"
    variant: Literal["full", "half"] = Field("full", description="Half has half the channels and units of full.")

    def build(self, shape: tuple[int, ...], classes: int) -> Net:
        """Return a network for grey or colour images of 28x28 or 32x32 pixels; the smaller are padded by 2."""
        if len(shape) != 3 or shape[1] != shape[2] or shape[1] not in SIDES:
            raise BadInput(
                "LeNet reads images (channels, height, width) of 28x28 or 32x32 pixels, "
                f"but got inputs of shape {shape}; choose another model, such as 'cnn' or 'mlp', or another data set."
            )
        first, second, third, fourth = (6, 16, 120, 84) if self.variant == "full" else (3, 8, 60, 42)
        pad = 2 if shape[1] == 28 else 0
        blocks = [
            nn.Sequential(nn.Conv2d(shape[0], first, 5, padding=pad), nn.MaxPool2d(2), nn.ReLU()),
            nn.Sequential(nn.Conv2d(first, second, 5), nn.MaxPool2d(2), nn.ReLU()),
            nn.Sequential(nn.Flatten(), nn.Linear(second * 25, third), nn.ReLU(), nn.Linear(third, fourth), nn.ReLU()),
        ]
        net = Net(blocks, nn.Linear(fourth, classes))
        net.apply(kaiming)
        return net
