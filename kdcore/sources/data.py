"""Batches from the training split: every row once per epoch, in an order that seed and step determine.

Augmentation works on whole batches of pixels, on their device, without asking the host for anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from kdcore.contracts.source import Source
from kdcore.device import onto
from kdcore.seeding import mix

GROUP = 8  # images that share one draw of RandAugment's two operations, for speed
JITTER = 0.1  # standard deviation of the noise that is a second view of features
PADDING = {"none": 0, "shift": 2, "crop_flip": 4}  # pixels; 4 is the CIFAR protocol's


class DataSource(Source):
    """Shuffled batches of the training data."""

    title: ClassVar[str] = "Training data"
    augment: Literal["none", "shift", "crop_flip"] = Field(
        "none", description="none; shift moves an image by up to 2 pixels; crop_flip pads by 4, crops and mirrors."
    )

    @property
    def static(self) -> bool:
        """Whether a row looks the same each time."""
        return self.augment == "none"

    def indices(self, rows: int, batch: int, seed: int, start: int, device: str) -> Iterator[Tensor]:
        """Rows (B,) int64 on `device`, from step `start` on; B is `batch`, or all rows where there are fewer."""
        size = min(batch, rows)
        per_epoch = rows // size
        epoch, skip = divmod(start, per_epoch)
        while True:
            generator = torch.Generator().manual_seed(mix(seed, epoch, salt=1))
            order = onto(torch.randperm(rows, generator=generator), torch.device(device))
            for place in range(skip, per_epoch):
                yield order[place * size : (place + 1) * size]
            epoch, skip = epoch + 1, 0

    def transform(self, x: Tensor, seed: int, step: int) -> Tensor:
        """Pixels (B, K, H, W) uint8, each moved (and mirrored) by its own draw; anything else unchanged."""
        pad = PADDING[self.augment]
        if not pad or x.dim() != 4:
            return x
        generator = torch.Generator().manual_seed(mix(seed, step, salt=2))
        count, _, height, width = x.shape
        draw = torch.randint(0, 2 * pad + 1, (2, count, 1), generator=generator)
        mirror = torch.rand((count, 1), generator=generator) < 0.5
        columns = torch.arange(width).expand(count, -1)
        if self.augment == "crop_flip":
            columns = columns.flip(1).where(mirror, columns)
        rows = onto(torch.arange(height) + draw[0], x.device)
        columns = onto(columns + draw[1], x.device)
        padded = torch.nn.functional.pad(x, (pad, pad, pad, pad))
        each = torch.arange(count, device=x.device)[:, None, None]
        return padded[each, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)

    def strengthen(self, x: Tensor, seed: int, step: int) -> Tensor:
        """RandAugment with two operations of magnitude 10, then Cutout of up to half of each side; noise on features.

        Source: Cubuk et al., RandAugment, NeurIPS workshop 2020; DeVries and Taylor, Cutout, arXiv 1708.04552.
        """
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(mix(seed, step, salt=5))  # the CPU's alone, not the GPU's
            if x.dim() != 4:
                return x + JITTER * onto(torch.randn(x.shape), x.device)
            return _cut(torch.cat([_randaugment(group) for group in torch.split(x, GROUP)]))


def _randaugment(x: Tensor) -> Tensor:
    """Images (B, K, H, W) uint8 after two random operations, the same for all."""
    from torchvision.transforms.v2 import RandAugment  # here, as few runs need what takes seconds to import

    augmented: Tensor = RandAugment(num_ops=2, magnitude=10)(x)
    return augmented


def _cut(x: Tensor) -> Tensor:
    """Images (B, K, H, W) with one box each filled with grey, its sides up to half of the image's."""
    sides = torch.tensor(x.shape[2:])
    size = torch.rand(len(x), 1) * 0.5 * sides
    centre = torch.rand(len(x), 2) * sides
    rows, columns = (
        ((torch.arange(side) - centre[:, [axis]]).abs() <= size[:, [axis]] / 2) for axis, side in enumerate(x.shape[2:])
    )
    box = onto(rows[:, None, :, None] & columns[:, None, None, :], x.device)
    return x.masked_fill(box, 127)
