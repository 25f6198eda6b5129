"""Which rows of a case a task looks at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from kdcore.comparison.case import Case
from kdcore.comparison.selection import mask
from kdcore.comparison.tasks.pair import ComparedPair


def drawn(pair: ComparedPair, asked: Mapping[str, Any], most: int) -> np.ndarray:
    """At most `most` of the selected rows (M,) int64, drawn by a fixed seed, in ascending order.

    Asked: select, a selection ("" means all); rows, a smaller number.

    Raises:
        BadInput: the selection names what the case does not have, or means no row.
    """
    text = str(asked.get("select", ""))
    found = np.flatnonzero(mask(Case(pair.folder), text)) if text else np.arange(len(pair.x))
    wanted = max(1, min(most, int(asked.get("rows", most))))
    if len(found) > wanted:
        found = np.sort(np.random.default_rng(0).choice(found, wanted, replace=False))
    return found.astype(np.int64)
