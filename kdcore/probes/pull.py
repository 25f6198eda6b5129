"""How the image term and the KL term of MEKD pull at the student's logits."""

from dataclasses import dataclass

import numpy as np

from kdcore.probes._numerics import Floats, Ints, mean
from kdcore.probes._rows import followed, newest
from kdcore.runs.record import Record

BINS = 20


@dataclass(frozen=True)
class Pull:
    """Gradients on the logits of the first probe rows, each with its weight."""

    step: Ints  # (F,) steps of the frames
    image: Floats  # (F,) mean norm of the image term's
    kl: Floats  # (F,) of the KL term's
    cosine: Floats  # (F,) mean cosine between them
    centre: Floats  # (B,) of the bins from -1 to 1
    rows: Ints  # (B,) rows in the frame on show whose cosine lies there
    cosine_now: float  # their mean
    ratio: float  # mean norm of the image term over that of the KL term, in the frame on show


def pull(record: Record) -> Pull:
    """Gradient norms of both terms on the student's logits. Cosine 1: same direction; 0: orthogonal; −1: opposite."""
    cosines = np.asarray(record.frame["own_pull_cosine"], dtype=np.float64)
    step, told = followed(record, "image_pull", "kl_pull", "pull_cosine")
    known = cosines[np.isfinite(cosines)]
    rows, edges = np.histogram(np.clip(known, -1, 1), bins=BINS, range=(-1, 1))
    return Pull(
        step=step,
        image=told["image_pull"],
        kl=told["kl_pull"],
        cosine=told["pull_cosine"],
        centre=(edges[1:] + edges[:-1]) / 2,
        rows=rows.astype(np.int64),
        cosine_now=mean(known),
        ratio=_ratio(newest(record, "image_pull"), newest(record, "kl_pull")),
    )


def _ratio(image: float, kl: float) -> float:
    return image / kl if kl > 0 else float("nan")
