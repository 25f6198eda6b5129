"""How alike the stages of both networks are, as the task of that name has measured it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kdcore.comparison.case import Case


@dataclass(frozen=True)
class Likeness:
    """Stages of one network (rows) by stages of another (columns), of which the last is the logits."""

    of: str  # "student" or "teacher", the rows
    with_: str  # the columns
    cka: np.ndarray  # (A, B) float32, at most 1
    error: np.ndarray  # (A, B) standard errors; NaN where too few rows were asked


@dataclass(frozen=True)
class Similarity:
    """All pairs of networks."""

    maps: tuple[Likeness, ...]
    rows: int
    select: str  # the selection that was asked about


def similarity(case: Case) -> Similarity:
    """Debiased CKA of all pairs of stages: 1 if both find the same samples similar, 0 if they have nothing in common.

    A student that follows stage by stage has a bright diagonal beside its teacher; blocks of alike stages within one
    network are layers that could be spared. Features of maps are averaged over their positions. The standard error is
    taken from disjoint groups of the rows.

    Source: Nguyen et al., Do Wide and Deep Networks Learn the Same Things?, ICLR 2021; see
    `kdcore.nn.representations.debiased_grams`.
    """
    found = case.part("similarity")
    stages, whole, error = int(found["stages"]), found["cka"], found["error"]
    ours, theirs = slice(0, stages), slice(stages, len(whole))
    kinds = [("student", "teacher", ours, theirs), ("student", "student", ours, ours)]
    kinds += [("teacher", "teacher", theirs, theirs)]
    maps = [Likeness(of, with_, whole[a, b], error[a, b]) for of, with_, a, b in kinds if whole[a, b].size]
    return Similarity(tuple(maps), len(found["rows"]), str(found["select"]))
