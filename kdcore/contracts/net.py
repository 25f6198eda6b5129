"""The one shape every network has: blocks in a row, then a head, so that each can be cut anywhere."""

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from kdcore.contracts.outputs import Outputs

CHUNK = 128  # rows in one forward pass; what a small network holds of them fits a processor's cache


class Net(nn.Module):
    """A classifier as blocks and a head.

    Args:
        blocks: stages in order; the output of each is a stage feature, (B, K, H, W) or (B, K).
        head: from the last stage's feature to logits (B, C), pooling included.
        stem: how many of the first blocks the distillation benchmarks do not count as stages.
        tail: how many layers at the end of the last block, a sequence, those benchmarks do not count to its stage.
    """

    def __init__(self, blocks: Sequence[nn.Module], head: nn.Module, stem: int = 0, tail: int = 0) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.head = head
        self.stem, self.tail = stem, tail

    def forward(self, x: Tensor) -> Outputs:
        """Logits and stage features of normalised inputs x (B, K, H, W) or (B, F)."""
        features = []
        for block in self.blocks:
            x = block(x)
            features.append(x)
        return Outputs(self.head(x), tuple(features))


def pooled(feature: Tensor) -> Tensor:
    """Return a stage feature as vectors (B, K): maps are averaged over their positions."""
    return feature.flatten(2).mean(2) if feature.dim() > 2 else feature


def stage_shapes(net: Net, shape: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """Return the shape of each stage's feature for one input of `shape`, without the batch dimension."""
    device = next(net.parameters()).device
    training = net.training
    with torch.no_grad():
        features = net.eval()(torch.zeros(1, *shape, device=device)).features
    net.train(training)
    return tuple(tuple(feature.shape[1:]) for feature in features)


class Closing(nn.Sequential):
    """The layers between a network's last stage and its pooling; none in most networks."""


def staged(net: Net, before_relu: bool = False, closing: bool = False) -> Net:
    """Return the same network with shared weights, cut where the distillation benchmarks read its stages.

    Source: the features named "feats" and "preact_feats" in the networks of megvii-research/mdistiller.

    Args:
        net: stays as it is.
        before_relu: cut before the ReLU that ends a stage; a normalisation before it then belongs to the stage.
        closing: what lies between the last stage and the pooling is a block of its own, so that its output is the last
            feature. Else it is the first part of the head.
    """
    first = nn.Sequential(*net.blocks[: net.stem + 1]) if net.stem else net.blocks[0]
    *blocks, last = first, *net.blocks[net.stem + 1 :]
    stage, behind = _parted(last, net.tail, before_relu)
    if closing:
        found = Net([*blocks, stage, behind], net.head)
    else:
        found = Net([*blocks, stage], nn.Sequential(behind, net.head) if len(behind) else net.head)
    return (unrectified(found) if before_relu else found).train(net.training)


def _parted(block: nn.Module, tail: int, before_relu: bool) -> tuple[nn.Module, Closing]:
    """Return a last block without its tail, and the tail; one without a convolution stays where what is cut is a
    ReLU.
    """
    layers = list(block.children())
    behind = layers[len(layers) - tail :]
    if before_relu and not any(isinstance(layer, nn.Conv2d) for layer in behind):
        behind = []
    return nn.Sequential(*layers[: -len(behind)]) if behind else block, Closing(*behind)


def unrectified(net: Net) -> Net:
    """Return the same network with shared weights, each stage cut before the ReLU that ends it; other stages stay as
    they are.

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
    """Return a part without the ReLU that ends it; None where it ends otherwise."""
    if isinstance(part, nn.ReLU):
        return nn.Identity()
    if type(part) is not nn.Sequential:
        return None
    *layers, last = part
    short = _without_relu(last)
    return None if short is None else nn.Sequential(*layers, short)


def _after_relu(part: nn.Module) -> nn.Module:
    """Return a ReLU, then the part; what is in a sequence keeps its name."""
    layers = list(part) if type(part) is nn.Sequential else [part]
    return nn.Sequential(OrderedDict([("relu", nn.ReLU()), *((str(at), layer) for at, layer in enumerate(layers))]))
