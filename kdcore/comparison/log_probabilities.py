"""Log-probabilities that are computed where they are read: whole, those of a large case would fill the memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from kdcore.probes._numerics import Floats, log_softmax

BLOCK_VALUES = 4 << 20  # that are held at once: 32 MB as float64


class Logs:
    """Log-probabilities (N, C) of logits; choosing rows of them copies nothing.

    Args:
        values: (N, C) logits, or log-probabilities where there is no temperature.
        temperature: by which logits are divided, one for all or (N,) one for each row.
        rows: (M,) those of the rows that are meant, in their order; all when None.
    """

    def __init__(
        self, values: np.ndarray, temperature: np.ndarray | float | None = 1.0, rows: np.ndarray | None = None
    ) -> None:
        self.values, self.rows = values, rows
        self.temperature = temperature if temperature is None else np.asarray(temperature, dtype=np.float64)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and classes."""
        return (len(self.values) if self.rows is None else len(self.rows)), self.values.shape[1]

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> Any:
        """Return some rows, of which nothing is computed yet; or, of rows and as many classes, the numbers."""
        if isinstance(index, tuple):
            places, classes = np.broadcast_arrays(*index)
            here = self[places.ravel()]
            found = here.each(lambda part, at: part[np.arange(len(part)), classes.ravel()[at]])
            return found.reshape(places.shape)[()]
        rows = np.arange(len(self)) if self.rows is None else self.rows
        return Logs(self.values, self.temperature, rows[index])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        found = self.each(lambda part, _: part)
        return found if dtype is None else found.astype(dtype)

    def blocks(self) -> Iterator[tuple[slice, Floats]]:
        """As many rows at once as BLOCK_VALUES allows, (n, C) float64, and where they lie."""
        size = max(1, BLOCK_VALUES // max(1, self.shape[1]))
        for start in range(0, len(self), size):
            at = slice(start, min(start + size, len(self)))
            yield at, self._block(at)

    def each(self, function: Callable[[Floats, slice], np.ndarray]) -> np.ndarray:
        """Return what a function makes of each row, (N, ...): it is given the rows of a block, and where they lie."""
        parts = [function(part, at) for at, part in self.blocks()]
        return np.concatenate(parts) if parts else function(np.empty((0, self.shape[1])), slice(0, 0))

    def _block(self, at: slice) -> Floats:
        rows: Any = at if self.rows is None else self.rows[at]
        if self.temperature is None:
            return np.asarray(self.values[rows], dtype=np.float64)
        warmth = self.temperature if self.temperature.ndim == 0 else self.temperature[rows, None]
        return log_softmax(np.asarray(self.values[rows], dtype=np.float64) / warmth)
