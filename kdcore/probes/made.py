"""Images that a source makes, and what the teacher says of them."""

from dataclasses import dataclass

import numpy as np

from kdcore.probes._numerics import softmax, top_class
from kdcore.probes._rows import class_names
from kdcore.runs.record import Record


@dataclass(frozen=True)
class Picture:
    """One made image."""

    pixels: np.ndarray  # (K, H, W) uint8
    said: str | None  # the teacher's class; None where it was not asked
    confidence: float | None  # its largest probability; None where it tells labels only


@dataclass(frozen=True)
class Made:
    """The wall: the same latents at each step, or what was shown last where a source has none."""

    pictures: tuple[Picture, ...]
    local: np.ndarray  # (L, K, H, W) uint8, images the edge owns
    classes: int
    named: int  # classes that the teacher names among the pictures


def made(record: Record) -> Made:
    """Synthetic images sent as queries, with the teacher's class and confidence; local images next to them."""
    images, logits = record.frame["made_x"], record.frame.get("made_logits")
    local = record.static.get("local_x", images[:0])
    if logits is None:
        return Made(tuple(Picture(one, None, None) for one in images), local, 0, 0)
    answers, sure = top_class(logits), softmax(logits).max(1)
    names: tuple[str | None, ...] = (*class_names(record, logits.shape[1]), None)
    told = record.spec.access != "labels"
    pictures = tuple(
        Picture(image, names[answer], float(share) if told else None)
        for image, answer, share in zip(images, answers, sure, strict=True)
    )
    return Made(pictures, local, logits.shape[1], len({one.said for one in pictures} - {None}))
