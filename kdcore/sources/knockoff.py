r"""Knockoff: a fixed random share of the local images is the transfer set; each of them is sent to the teacher once.

Of $N$ local images, $\mathrm{round}(\mathrm{share} \cdot N)$, at least 2, are drawn without replacement before the
first step. Every step shows some of them, each once per epoch and unchanged, so their labels are paid for once and
reused.

Source: Orekondy, Schiele and Fritz, Knockoff Nets: Stealing Functionality of Black-Box Models, CVPR 2019, arXiv
1812.02766, its random policy; a budget of a fifth of the local images as in the baselines of MEKD's published code.

Departs from it: the paper draws from a public pool of images unrelated to the teacher's training data; here the pool is
the local training split; its other policy, which selects images by how useful they were, is left out. The loss is the
method's: plain distillation without labels, at temperature 1 in the paper and 5 in MEKD's code.

Zero when: never; a source has no loss.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from kdcore.contracts.source import Source
from kdcore.device import onto
from kdcore.seeding import mix

LEAST = 2  # images in a transfer set


class KnockoffSource(Source):
    """Batches of a fixed share of the training data."""

    title: ClassVar[str] = "Knockoff transfer set"
    share: float = Field(
        0.2, gt=0.0, le=1.0, description="Share of the local images that is used, with one query each."
    )

    @property
    def static(self) -> bool:
        """Every row looks the same each time."""
        return True

    def drawn(self, rows: int, seed: int) -> Tensor:
        """Return the transfer set: places (P,) int64 among `rows`, ascending."""
        count = min(rows, max(LEAST, round(self.share * rows)))
        order = torch.randperm(rows, generator=torch.Generator().manual_seed(mix(seed, 0, salt=20)))
        return order[:count].sort().values

    def indices(self, rows: int, batch: int, seed: int, start: int, device: str) -> Iterator[Tensor]:
        """Places (B,) int64 on `device`, from step `start` on; B is `batch`, or the transfer set where that is less."""
        chosen = self.drawn(rows, seed).to(device)
        size = min(batch, len(chosen))
        per_epoch = len(chosen) // size
        epoch, skip = divmod(start, per_epoch)
        while True:
            generator = torch.Generator().manual_seed(mix(seed, epoch, salt=21))
            order = chosen[onto(torch.randperm(len(chosen), generator=generator), chosen.device)]
            for place in range(skip, per_epoch):
                yield order[place * size : (place + 1) * size]
            epoch, skip = epoch + 1, 0

    def transform(self, x: Tensor, seed: int, step: int) -> Tensor:
        """Return the batch as it is."""
        return x
