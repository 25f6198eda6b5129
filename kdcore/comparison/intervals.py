"""How sure a number is that was taken on some of the rows."""

from __future__ import annotations

import numpy as np
from scipy import stats

from kdcore.probes._numerics import Floats, Ints

Z = 1.959963984540054  # 95 %


def wilson(right: Floats | Ints, rows: Floats | Ints, z: float = Z) -> tuple[Floats, Floats]:
    """Lower and upper end of the interval of a share of `right` in `rows`, elementwise; 0 and 1 where there is no row.

    Source: Wilson, Probable Inference, the Law of Succession, and Statistical Inference, JASA 22, 1927.
    """
    rows = np.asarray(rows, dtype=np.float64)
    share = np.asarray(right) / np.maximum(rows, 1)
    spread = rows + z**2
    centre = (rows * share + z**2 / 2) / spread
    half = z * np.sqrt(rows * share * (1 - share) + z**2 / 4) / spread
    return np.maximum(centre - half, 0.0), np.minimum(centre + half, 1.0)


def of_mean(values: Floats) -> tuple[Floats, Floats]:
    """Lower and upper end of the 95 % interval of the mean of values (..., N) by Student's t; NaN below two values."""
    count, mean = values.shape[-1], values.mean(-1)
    if count < 2:
        return np.full_like(mean, np.nan), np.full_like(mean, np.nan)
    half = stats.t.ppf(0.975, count - 1) * values.std(-1, ddof=1) / np.sqrt(count)
    return mean - half, mean + half
