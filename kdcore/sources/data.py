"""Batches from the training split: every row once per epoch, in an order that seed and step determine.

Augmentation works on whole batches of pixels, on their device, without asking the host for anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from kdcore.contracts import Source

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
            generator = torch.Generator().manual_seed(_mix(seed, epoch, salt=1))
            order = torch.randperm(rows, generator=generator).to(device)
            for place in range(skip, per_epoch):
                yield order[place * size : (place + 1) * size]
            epoch, skip = epoch + 1, 0

    def transform(self, x: Tensor, seed: int, step: int) -> Tensor:
        """Pixels (B, K, H, W) uint8, each moved (and mirrored) by its own draw; anything else unchanged."""
        pad = PADDING[self.augment]
        if not pad or x.dim() != 4:
            return x
        generator = torch.Generator().manual_seed(_mix(seed, step, salt=2))
        count, _, height, width = x.shape
        draw = torch.randint(0, 2 * pad + 1, (2, count, 1), generator=generator)
        mirror = torch.rand((count, 1), generator=generator) < 0.5
        columns = torch.arange(width).expand(count, -1)
        if self.augment == "crop_flip":
            columns = columns.flip(1).where(mirror, columns)
        rows = (torch.arange(height) + draw[0]).to(x.device, non_blocking=True)
        columns = (columns + draw[1]).to(x.device, non_blocking=True)
        padded = torch.nn.functional.pad(x, (pad, pad, pad, pad))
        each = torch.arange(count, device=x.device)[:, None, None]
        return padded[each, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _mix(seed: int, place: int, salt: int) -> int:
    """A seed for one place in one stream; different places and salts give unrelated streams."""
    return ((seed * 0x9E3779B1 + place) * 0x85EBCA6B + salt * 0xC2B2AE35) % (2**63)
