"""Knowledge points of both networks, as the task of that name has measured them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kdcore.comparison.case import Case
from kdcore.comparison.selection import Bools
from kdcore.probes._numerics import Floats, Ints, mean

CLEARER = 0.2  # nats below the background's mean entropy from which a patch is a knowledge point; the paper's b


@dataclass(frozen=True)
class KnowledgePoints:
    """One network's knowledge points on M rows."""

    points: Bools  # (M, g, g)
    inside: Ints  # (M,) on the foreground
    outside: Ints  # (M,) on the background
    share: Floats  # (M,) of the points that lie on the foreground; NaN where there is no point


@dataclass(frozen=True)
class KnowledgeCourse:
    """The student's at T checkpoints."""

    steps: Ints  # (T,)
    inside: Floats  # (T,) mean number of points on the foreground
    share: Floats  # (T,) mean of their share
    distance: float  # mean, and ...
    spread: float  # ... variance over rows, of how far the weights had gone when a row had most points
    stability: float  # share of the points it ever had on the foreground that it has at the end, mean over rows


@dataclass(frozen=True)
class Knowledge:
    """Both networks', and the student's course where its run kept checkpoints."""

    student: KnowledgePoints
    teacher: KnowledgePoints | None
    course: KnowledgeCourse | None
    rows: Ints  # (M,)
    select: str  # the selection that was asked about
    entropy: dict[str, Floats]  # (M, g, g) nats, by network
    foreground: Bools  # (M, g, g)


def knowledge(case: Case) -> Knowledge:
    """A knowledge point is a patch that matters to a network: noise there changes its features most.

    A good student has many on the object and few on the background, gets them early and all together, and loses few
    on the way.

    Source: Cheng et al., Explaining Knowledge Distillation by Quantifying the Knowledge, CVPR 2020, arXiv 2003.03622.
    Departs from it: patches of a grid instead of pixels, 16 rows, few steps of optimisation; the foreground is what is
    brighter than the image's mean, as there are no boxes, which suits digits and clothes better than photographs; the
    student's checkpoints stand for epochs.
    """
    found = case.part("knowledge")
    mask = found["foreground"]
    entropy = {who: found[who].astype(np.float64) for who in ("student", "teacher") if who in found}
    told = {who: counted(values, mask) for who, values in entropy.items()}
    course = learned(found["course"], mask, found["steps"], found["moved"]) if "course" in found else None
    return Knowledge(told["student"], told.get("teacher"), course, found["rows"], str(found["select"]), entropy, mask)


def counted(entropy: Floats, mask: Bools, clearer: float = CLEARER) -> KnowledgePoints:
    """Patches whose entropy (M, g, g) lies more than `clearer` nats below the mean of their row's background."""
    background = np.where(mask, np.nan, entropy).reshape(len(entropy), -1)
    empty = mask.reshape(len(mask), -1).all(1)
    background[empty] = entropy.reshape(len(entropy), -1)[empty]
    points = np.nanmean(background, axis=1)[:, None, None] - entropy > clearer
    inside, outside = (points & mask).sum((1, 2)), (points & ~mask).sum((1, 2))
    with np.errstate(invalid="ignore"):
        return KnowledgePoints(points, inside, outside, inside / (inside + outside))


def learned(course: Floats, mask: Bools, steps: Ints, moved: Floats) -> KnowledgeCourse:
    """Points on the object at each checkpoint: a good student has them early, after a short path, and keeps them.

    Of T checkpoints with entropies (T, M, g, g), up to which the weights went `moved` (T,) lengths of the first ones.
    The distance of a row is the way at the checkpoint where it has most points on the foreground, the first of equals
    (equation 6); stability is |points at the end| / |points at any time| there (equation 7).
    """
    told = [counted(entropy, mask) for entropy in course]
    inside = np.stack([one.inside for one in told])  # (T, M)
    best = np.asarray(moved)[inside.argmax(0)]
    ever = np.any([one.points & mask for one in told], axis=0).sum((1, 2))
    kept = inside[-1][ever > 0] / ever[ever > 0]
    shares = np.array([mean(one.share) for one in told])
    return KnowledgeCourse(
        steps=steps,
        inside=inside.mean(1),
        share=shares,
        distance=float(best.mean()),
        spread=float(best.var()),
        stability=mean(kept),
    )
