"""Between rows as they are stored, what networks read, and what a service is sent: one arithmetic, bit for bit, so that
a question that was paid for is known again whoever asks it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

BYTE = 255


class Pixels:
    """The scale of one data set.

    Args:
        mean, std: per channel, of values from 0 to 1; () for data that are no images.
        device: where it works.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float], device: torch.device | None = None) -> None:
        means, stds = torch.tensor(mean), torch.tensor(std)
        self.scale = (1 / (BYTE * stds)).view(1, -1, 1, 1).to(device)
        self.shift = (-means / stds).view(1, -1, 1, 1).to(device)

    def normalised(self, x: Tensor) -> Tensor:
        """Raw rows as networks read them: pixels scaled per channel, features as they are."""
        return x * self.scale + self.shift if x.dim() == 4 else x

    def sent(self, inputs: Tensor) -> Tensor:
        """Return inputs as values from 0 to 1; features as they are."""
        return ((inputs - self.shift) / self.scale / BYTE).clamp(0, 1) if inputs.dim() == 4 else inputs

    def made(self, images: Tensor) -> Tensor:
        """Images (B, K, H, W) in [-1, 1] as networks read them."""
        return self.normalised((images + 1) * (BYTE / 2))
