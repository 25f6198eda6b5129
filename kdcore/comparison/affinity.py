"""Which classes both networks take for kin, over the rows of a case."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from kdcore.comparison.case import Rows
from kdcore.comparison.selection import Bools
from kdcore.probes.affinity import Affinity, compared, largest


def affinity(rows: Rows, classes: tuple[str, ...], temperature: float, meant: Bools | None = None) -> Affinity:
    """Mean softened probability of each other class, given the true one: the similarity a teacher can pass on.

    The diagonal is left out, as it would drown the rest; raise the temperature to see more of it. Cells with few rows
    are noisy.

    Args:
        rows: both models' answers; there must be a teacher.
        classes: their names.
        temperature: that softens both.
        meant: (N,) the rows that count; all when None.
    """
    assert rows.teacher is not None
    here = rows.labels >= 0 if meant is None else (rows.labels >= 0) & meant
    found = compared(classes, rows.teacher[here], rows.student[here], rows.labels[here], temperature)
    own = np.eye(len(classes), dtype=bool)
    teacher, student, difference = (
        np.where(own, np.nan, one) for one in (found.teacher, found.student, found.difference)
    )
    return replace(found, teacher=teacher, student=student, difference=difference, largest=largest(np.abs(difference)))
