"""How sure a number is that was taken on some of the rows."""

from __future__ import annotations

import numpy as np

from kdcore.probes._numerics import Floats

Z = 1.959963984540054  # 95 %


def wilson(right: Floats, rows: Floats, z: float = Z) -> tuple[Floats, Floats]:
    """Lower and upper end of the interval of a share of `right` in `rows`, elementwise; 0 and 1 where there is no row.

    Source: Wilson, Probable Inference, the Law of Succession, and Statistical Inference, JASA 22, 1927.
    """
    rows = np.asarray(rows, dtype=np.float64)
    share = np.asarray(right) / np.maximum(rows, 1)
    spread = rows + z**2
    centre = (rows * share + z**2 / 2) / spread
    half = z * np.sqrt(rows * share * (1 - share) + z**2 / 4) / spread
    return np.maximum(centre - half, 0.0), np.minimum(centre + half, 1.0)


def of_mean(values: Floats, axis: int = -1, z: float = Z) -> tuple[Floats, Floats]:
    """Lower and upper end of the normal interval of the mean along an axis; the mean itself for a single value."""
    count = values.shape[axis]
    mean = values.mean(axis)
    half = z * values.std(axis, ddof=1) / np.sqrt(count) if count > 1 else np.zeros_like(mean)
    return mean - half, mean + half
