"""The part of a network after its last stage: what its classifier reads, and how another network takes it over."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from kdcore.contracts.net import Net
from kdcore.errors import BadInput


class Reading(NamedTuple):
    """The one linear layer of a head, and what it reads."""

    weight: Tensor  # (C, K)
    maps: bool  # whether the feature is a map (B, K, H, W), averaged over its positions, and not a vector (B, K)


def classifier(net: Net) -> Tensor | None:
    """Return the weights (C, K) of the one linear layer in a head; None where there is more or less than one."""
    layers = [layer for layer in net.head.modules() if list(layer.parameters(recurse=False))]
    if len(layers) == 1 and isinstance(layers[0], (nn.Linear, nn.Conv2d)):
        return layers[0].weight.flatten(1)
    return None


def reading(net: Net, method: str) -> Reading:
    """Return what the classifier of a network reads.

    Args:
        net: its weights' values play no part.
        method: named in the error.

    Raises:
        BadInput: the head is more than global average pooling and one linear layer.
    """
    weight = classifier(net)
    if weight is not None:
        width = weight.shape[1]
        for shape, maps in (((width, 1, width + 1), True), ((width,), False)):
            if _reads(net.head, weight.new_zeros(2, *shape)):
                return Reading(weight, maps)
    raise BadInput(
        f"{method} works on a classifier that is one linear layer, behind global average pooling where the last stage "
        "is a map, but got a network with another head; choose one such as 'cnn', 'resnet', 'wrn', 'vgg' or 'mlp'."
    )


@torch.no_grad()
def _reads(head: nn.Module, feature: Tensor) -> bool:
    """Whether a head has an answer for a feature of that shape."""
    try:
        return bool(head(feature).dim() == 2)
    except (RuntimeError, IndexError, ValueError):
        return False


class Frozen(nn.Module):
    """Another network's trained module, which neither learns nor leaves eval mode."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.inner = module.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> "Frozen":
        """Stay in eval mode."""
        return super().train(False)

    def forward(self, x: Tensor) -> Tensor:
        """Return what the module answers."""
        answer: Tensor = self.inner(x)
        return answer
