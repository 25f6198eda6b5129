"""What a run's questions to its teacher come to: images sent, real ones among them, and money. No torch is imported.

Where the teacher is remote, images sent for measuring are paid for like those sent for learning. A teacher on this
machine stands for a cloud: what the student learns from is counted as a cloud would, what is measured is not.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from kdcore.events import Meter
from kdcore.spec.spec import Spec

THOUSAND = 1000


class Bill(NamedTuple):
    """Images are different ones; each is paid for once."""

    learning: int  # sent to learn from
    measuring: int  # sent for measuring alone
    real: int | None  # of all of these the real ones, local or held out; None where an old run did not count them
    dollars: float

    @property
    def images(self) -> int:
        """All images that were paid for."""
        return self.learning + self.measuring


def bill(spec: Spec, meter: Meter) -> Bill:
    """Return the bill of a run with a wall."""
    measuring = meter.looked if spec.remote else 0
    looked = meter.looked_real if measuring else 0
    real = None if looked is None else meter.local + looked
    price = spec.wall.price if spec.wall else 0.0
    return Bill(meter.images, measuring, real, dollars(meter.images + measuring, price))


def outlays(told: Iterable[tuple[int, Meter]]) -> dict[int, Meter]:
    """Of meters with their steps, as they were told, all that was paid by each step: what was paid once stays paid
    though a resumed run goes on from a step that had used less."""
    found, most = {}, Meter()
    for step, meter in told:
        most = found[step] = _together(meter, most)
    return found


def _together(now: Meter, before: Meter) -> Meter:
    """Return the larger of each of two counts; what the newer one has not counted is not known."""
    larger = {name: max(value, getattr(before, name) or 0) for name, value in now if value is not None}
    return now.model_copy(update=larger)


def dollars(images: int, price: float) -> float:
    """Return what images cost at a price per 1,000."""
    return images / THOUSAND * price
