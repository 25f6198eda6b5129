"""A cache of the teacher's outputs for the training rows, where they are the same in every step."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from kdcore.contracts.outputs import Outputs

CACHE_BYTES = 1 << 30  # outputs cached for a whole split, at most


class AnswerCache:
    """Teacher outputs for rows of the training split, empty until `fill`."""

    def __init__(self) -> None:
        self._outputs: Outputs | None = None
        self._positions: Tensor | None = None  # (N,) where a row's outputs are; None where all rows are cached

    @property
    def filled(self) -> bool:
        """Whether outputs are cached."""
        return self._outputs is not None

    def fill(
        self, teacher: Callable[[Tensor], Outputs], batches: Sequence[Tensor], rows: int, positions: Tensor | None
    ) -> None:
        """Compute the outputs once, in order, where all of them fit into CACHE_BYTES.

        Args:
            teacher: outputs for inputs (B, ...).
            batches: the inputs of the rows.
            rows: how many there are in all.
            positions: (N,) position of each row of the split among them; None where they are the whole split.
        """
        sample = teacher(batches[0][:2])
        row_bytes = sum(part[0].numel() * part.element_size() for part in (sample.logits, *sample.features))
        if row_bytes * rows > CACHE_BYTES:
            return
        outputs = [teacher(batch) for batch in batches]
        features = zip(*(one.features for one in outputs), strict=True)
        logits = torch.cat([one.logits for one in outputs])
        self._outputs = Outputs(logits, tuple(torch.cat(stage) for stage in features))
        self._positions = positions

    def lookup(self, index: Tensor) -> Outputs:
        """Return the cached outputs of rows `index` (B,)."""
        assert self._outputs is not None, "fill() has cached nothing"
        at = index if self._positions is None else self._positions[index]
        return Outputs(self._outputs.logits[at], tuple(stage[at] for stage in self._outputs.features))
