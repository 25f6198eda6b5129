"""Oversampled training rows: part of each batch comes from a given slice, the rest from all rows.

Augmentation and the order of the rest are those of the training data as a source.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from kdcore.device import onto
from kdcore.errors import BadInput
from kdcore.seeding import mix
from kdcore.sources.data import DataSource
from kdcore.spec import row_ranges


class SliceSource(DataSource):
    """Batches with more of some training rows."""

    title: ClassVar[str] = "Training data, more of a slice"
    share: float = Field(0.5, ge=0.0, le=1.0, description="How much of a batch comes from the slice.")
    rows: str = Field("", description="Training rows of the slice, such as 3,7-12; empty takes all rows.")

    def drawn(self, rows: int, seed: int) -> Tensor | None:
        """Return the slice alone where it fills every batch.

        Raises:
            BadInput: the slice has rows that the training data have not.
        """
        chosen = row_ranges.read(self.rows)
        if chosen and chosen[-1] >= rows:
            raise BadInput(
                f"The training data have rows 0 to {rows - 1}, but the slice has row {chosen[-1]}; leave it out."
            )
        return torch.tensor(chosen) if chosen and self.share == 1.0 else None

    def indices(self, rows: int, batch: int, seed: int, start: int, device: str) -> Iterator[Tensor]:
        """Rows (B,) int64 on `device`, first those from the slice; B is `batch`, or all rows where there are fewer."""
        chosen = torch.tensor(row_ranges.read(self.rows) or range(rows), device=device)
        special = round(self.share * min(batch, rows))
        for step, common in enumerate(super().indices(rows, batch, seed, start, device), start):
            places = onto(_drawn(len(chosen), special, seed, step), chosen.device)
            yield torch.cat([chosen[places], common[special:]])


def _drawn(rows: int, count: int, seed: int, step: int) -> Tensor:
    """Places (count,) in a slice, at random with replacement, as a slice may be smaller than its share of a batch."""
    return torch.randint(rows, (count,), generator=torch.Generator().manual_seed(mix(seed, step, salt=11)))
