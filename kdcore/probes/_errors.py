"""A teacher's errors, and how many of them a student repeats by its own habit."""

import numpy as np
from numpy.typing import NDArray

from kdcore.probes._numerics import Floats, Ints

Bools = NDArray[np.bool_]


def repeated_by_chance(labels: Ints, student: Ints, teacher: Ints, classes: int, erring: Bools) -> float:
    """The share of the rows `erring` (N,) where the student would name the teacher's class by its own habit.

    That habit is the share of its answers on the same true class, over all rows where teachers are right or wrong
    alike; NaN where no row errs. All arrays are (N,); -1 stands for no label or no answer.
    """
    erring = erring & (teacher >= 0) & (labels >= 0)
    if not erring.any():
        return float("nan")
    known = (labels >= 0) & (student >= 0)
    counts = np.bincount(labels[known] * classes + student[known], minlength=classes**2).reshape(classes, classes)
    habit: Floats = counts / np.maximum(counts.sum(1), 1)[:, None]
    return float(habit[labels[erring], teacher[erring]].mean())
