"""Whether labels and teacher pull the student's stages the same way, as the task of that name has measured it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kdcore.comparison.case import Case
from kdcore.probes._numerics import Floats, Ints


@dataclass(frozen=True)
class Conflict:
    """Cosines of two gradients, stage by stage; the first line is rows of all classes, the others rows of one each."""

    stages: tuple[str, ...]  # (G,), the last is all weights
    classes: Ints  # (K,)
    cosine: Floats  # (1 + K, G)
    ratio: Floats  # (1 + K, G) length of the teacher's gradient over that of the labels'
    low: Floats  # (G,) least cosine over the batches of all classes
    high: Floats  # (G,) largest
    batches: int
    rows: Ints  # (1 + K,) in a batch
    terms: tuple[str, ...]  # that distil
    labels_taken: bool  # whether the method itself learns from labels; its labels count 1 otherwise


def conflict(case: Case) -> Conflict:
    """Cosine below 0: label and teacher gradients of a stage conflict; there the teacher hinders, or corrects.

    Gradients of cross-entropy and of the method's own terms that distil, weighted as in training, at the student's last
    weights on training rows, in eval mode. The first line is the mean of several batches of all classes; each class has
    one batch of its rows alone, on which terms that relate rows to one another mean something else than in training.

    Source: Yu et al., Gradient Surgery for Multi-Task Learning, NeurIPS 2020 (conflict as a negative cosine).
    """
    found = case.part("conflict")
    batch, single = found["batch"], found["class"]
    with np.errstate(divide="ignore", invalid="ignore"):
        lengths = np.concatenate([batch[..., 1:].mean(0)[None], single[..., 1:]])
        ratio = lengths[..., 1] / lengths[..., 0]
    return Conflict(
        stages=tuple(map(str, found["stages"])),
        classes=found["classes"].astype(np.int64),
        cosine=np.concatenate([batch[..., 0].mean(0)[None], single[..., 0]]),
        ratio=ratio,
        low=batch[..., 0].min(0),
        high=batch[..., 0].max(0),
        batches=len(batch),
        rows=np.concatenate([[int(found["batch_rows"])], found["rows"]]).astype(np.int64),
        terms=tuple(map(str, found["terms"])),
        labels_taken=bool(found["labels_taken"]),
    )
