"""Fully connected network; images are flattened."""

from itertools import pairwise
from math import prod
from typing import ClassVar, Literal

from pydantic import Field
from torch import nn

from kdcore.contracts.model import Model
from kdcore.contracts.net import Net

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU}


class MLP(Model):
    """Hidden layers of one width, each a stage."""

    title: ClassVar[str] = "MLP"
    family: ClassVar[str] = "Small"
    width: Literal[4, 8, 16, 32, 64, 128, 256] = Field(64, description="Units in a hidden layer.")
    depth: Literal[1, 2, 3, 4] = Field(2, description="Hidden layers.")
    activation: Literal["relu", "tanh", "gelu"] = Field("relu", description="Activation after each hidden layer.")

    def build(self, shape: tuple[int, ...], classes: int) -> Net:
        """Return a network for inputs of any shape."""
        widths = [prod(shape), *[self.width] * self.depth]
        blocks = [
            nn.Sequential(nn.Linear(inputs, outputs), ACTIVATIONS[self.activation]())
            for inputs, outputs in pairwise(widths)
        ]
        if len(shape) > 1:
            blocks[0].insert(0, nn.Flatten())
        return Net(blocks, nn.Linear(self.width, classes))
