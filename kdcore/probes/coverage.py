"""How much of the teacher's world the made images cover, and how well they invert it."""

from dataclasses import dataclass
from math import log

from kdcore.probes._numerics import Floats, Ints, calm
from kdcore.probes._rows import followed
from kdcore.runs.record import Record

SHARES = ("cycle", "argmax_inverse", "confidence")


@dataclass(frozen=True)
class Coverage:
    """Over the steps (F,) of the frames; NaN where one was not measured."""

    step: Ints
    shares: dict[str, Floats]  # fractions, those of SHARES that were measured
    class_entropy: Floats  # nats
    entropy_share: Floats  # of the highest possible
    highest: float  # nats, ln C
    highest_frechet: float | None  # where its axis ends if the first values would dominate it
    frechet: Floats  # between local and made images in the features of a fixed random network


def coverage(record: Record) -> Coverage:
    """Top, higher is better: classes predicted evenly, outputs recovered from their images. Bottom: lower is better.

    "cycle" is the share of probe images whose answer the teacher gives again for that answer's image;
    "argmax_inverse" the share of latents whose largest coordinate is the class of their image; "confidence" the
    teacher's mean largest probability for made images.
    """
    step, told = followed(record, *SHARES, "class_entropy", "frechet")
    classes = len(record.started.classes) if record.started else 0
    highest = log(classes) if classes > 1 else float("nan")
    return Coverage(
        step=step,
        shares={name: told[name] for name in SHARES if (told[name] == told[name]).any()},
        class_entropy=told["class_entropy"],
        entropy_share=told["class_entropy"] / highest,
        highest=highest,
        highest_frechet=calm(told["frechet"]),
        frechet=told["frechet"],
    )
