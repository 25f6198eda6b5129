"""Layers that give a feature of the student the shape of a feature of the teacher; they learn with the student."""

from collections.abc import Sequence
from typing import Literal, TypeVar

from torch import Tensor, nn

from kdcore.net import pooled

S = TypeVar("S")
T = TypeVar("T")
Activation = Literal["relu", "leaky", "none"]
ACTIVATIONS: dict[Activation, type[nn.Module]] = {"relu": nn.ReLU, "leaky": nn.LeakyReLU, "none": nn.Identity}


class Pooled(nn.Module):
    """The mean over all positions, as a layer."""

    def forward(self, x: Tensor) -> Tensor:
        """From (B, K, H, W) or (B, K) to (B, K)."""
        return pooled(x)


def connector(student: tuple[int, ...], teacher: tuple[int, ...], activation: Activation = "relu") -> nn.Module:
    """A convolution (transposed where the map must grow), normalisation and activation between two stage shapes.

    Where one of the two has no positions, both are averaged over theirs and joined by a normalised linear layer without
    activation, as such features may be negative; it answers (B, K) then.

    Args:
        student: (K, H, W) or (K,), of what the layer reads.
        teacher: (K, H, W) or (K,), of what it answers.
        activation: what comes last, between two maps.
    """
    inputs, outputs, size, wish = student[0], teacher[0], student[1:], teacher[1:]
    if not size or not wish:
        return nn.Sequential(Pooled(), nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs))
    layers: list[nn.Module]
    if size == wish:
        layers = [nn.Conv2d(inputs, outputs, 1)]
    elif all(ours == 2 * theirs for ours, theirs in zip(size, wish, strict=True)):
        layers = [nn.Conv2d(inputs, outputs, 3, stride=2, padding=1)]
    elif all(2 * ours == theirs for ours, theirs in zip(size, wish, strict=True)):
        layers = [nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1)]
    elif all(ours >= theirs for ours, theirs in zip(size, wish, strict=True)):
        layers = [nn.AdaptiveAvgPool2d(wish), nn.Conv2d(inputs, outputs, 1)]
    else:
        layers = [nn.Upsample(wish), nn.Conv2d(inputs, outputs, 1)]
    return nn.Sequential(*layers, nn.BatchNorm2d(outputs), ACTIVATIONS[activation]())


def paired(student: Sequence[S], teacher: Sequence[T]) -> list[tuple[S, T]]:
    """Stages that belong together: the last of both, and so on back to the first of the network that has fewer."""
    fewest = min(len(student), len(teacher))
    return list(zip(student[len(student) - fewest :], teacher[len(teacher) - fewest :], strict=True))
