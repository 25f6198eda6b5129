"""How far the student's answers are from the teacher's as a whole, image by image left aside."""

from dataclasses import dataclass

from kdcore.probes._numerics import Floats, Ints, calm
from kdcore.probes._rows import followed, newest
from kdcore.runs.record import Record


@dataclass(frozen=True)
class Answers:
    """Over the steps (F,) of the frames."""

    step: Ints
    distance: Floats  # sliced Wasserstein-1 of the answers to the probe rows, over 64 fixed directions
    now: float
    highest: float | None  # where the axis ends if the first values would dominate it


def answers(record: Record) -> Answers:
    """Sliced Wasserstein distance between all outputs of student and teacher: 0 for the same distribution.

    Answers are probabilities, or labels where the teacher returns nothing else. That both are spread alike does not say
    that they agree on each image.
    """
    step, told = followed(record, "sliced_wasserstein")
    return Answers(
        step, told["sliced_wasserstein"], newest(record, "sliced_wasserstein"), calm(told["sliced_wasserstein"])
    )
