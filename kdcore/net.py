"""The one shape every network has: blocks in a row, then a head, so that each can be cut anywhere."""

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from kdcore.contracts import Outputs


class Net(nn.Module):
    """A classifier as blocks and a head.

    Args:
        blocks: stages in order; the output of each is a stage feature, (B, K, H, W) or (B, K).
        head: from the last stage's feature to logits (B, C), pooling included.
    """

    def __init__(self, blocks: Sequence[nn.Module], head: nn.Module) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.head = head

    def forward(self, x: Tensor) -> Outputs:
        """Logits and stage features of normalised inputs x (B, K, H, W) or (B, F)."""
        features = []
        for block in self.blocks:
            x = block(x)
            features.append(x)
        return Outputs(self.head(x), tuple(features))


def pooled(feature: Tensor) -> Tensor:
    """A stage feature as vectors (B, K): maps are averaged over their positions."""
    return feature.flatten(2).mean(2) if feature.dim() > 2 else feature


def stage_shapes(net: Net, shape: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """The shape of each stage's feature for one input of `shape`, without the batch dimension."""
    device = next(net.parameters()).device
    training = net.training
    with torch.no_grad():
        features = net.eval()(torch.zeros(1, *shape, device=device)).features
    net.train(training)
    return tuple(tuple(feature.shape[1:]) for feature in features)


def unrectified(net: Net) -> Net:
    """The same network with shared weights, each stage cut before the ReLU that ends it; other stages stay as they are.

    The names of weights stay as well, but for those of a part that is no sequence and follows such a stage.
    """
    parts: list[nn.Module] = []
    waiting = False  # whether the part before has left its ReLU to this one
    for part in (*net.blocks, net.head):
        short = None if part is net.head else _without_relu(part)
        parts.append(_after_relu(short or part) if waiting else short or part)
        waiting = short is not None
    return Net(parts[:-1], parts[-1]).train(net.training)


def _without_relu(part: nn.Module) -> nn.Module | None:
    """A part without the ReLU that ends it; None where it ends otherwise."""
    if isinstance(part, nn.ReLU):
        return nn.Identity()
    if type(part) is not nn.Sequential:
        return None
    *layers, last = part
    short = _without_relu(last)
    return None if short is None else nn.Sequential(*layers, short)


def _after_relu(part: nn.Module) -> nn.Module:
    """A ReLU, then the part; what is in a sequence keeps its name."""
    layers = list(part) if type(part) is nn.Sequential else [part]
    return nn.Sequential(OrderedDict([("relu", nn.ReLU()), *((str(at), layer) for at, layer in enumerate(layers))]))
