"""Which of the selected rows are worth a look."""

from __future__ import annotations

import numpy as np

from kdcore.comparison.case import Rows
from kdcore.comparison.selection import Bools
from kdcore.probes._numerics import Ints

SHOWN = 60


def foremost(rows: Rows, meant: Bools | None, pinned: tuple[int, ...] = (), most: int = SHOWN) -> Ints:
    """Selected samples with the largest disagreement first; click one to pin it, Shift-click to compare it.

    Sharpest first: the largest KL(teacher || student), or without a teacher the least likely label.
    """
    here = np.arange(len(rows)) if meant is None else np.flatnonzero(meant)
    if rows.teacher is not None:
        urgency = np.nan_to_num(rows.kl[here], nan=np.inf) + 1e6 * (rows.student_top[here] != rows.teacher_top[here])
    else:
        urgency = np.nan_to_num(-rows.log_q[here, np.maximum(rows.labels[here], 0)], nan=np.inf)
    order: Ints = here[np.argsort(-urgency, kind="stable")][:most]
    missing = [row for row in pinned if row < len(rows) and row not in order]
    return np.concatenate([np.array(missing, dtype=np.int64), order])[: most + len(missing)]
