"""What asking the teacher has taken: images, megabytes, money."""

from dataclasses import dataclass

import numpy as np

from kdcore.probes._numerics import Floats, Ints, thinned
from kdcore.record import Record

MEGA = 1e6  # bytes


@dataclass(frozen=True)
class Meters:
    """Over the reported steps (S,), from the beginning of the run; images asked twice are counted once."""

    step: Ints
    images: Ints  # the learning asked about
    made: Ints  # of those, made ones
    local: Ints  # the edge's own, which have left it
    looked: Ints  # images that only measuring asked about, apart
    up_megabytes: Floats
    down_megabytes: Floats
    money: Floats
    requests: int  # now
    retried: int
    cached: int  # answers from memory
    budget: int | None  # images
    price: float  # of a thousand


def meter(record: Record, limit: int = 2000) -> Meters:
    """What the teacher was asked so far, and what that took; local images are those that left the edge.

    At most `limit` steps, evenly spread.
    """
    steps = [record.steps[k] for k in thinned(len(record.steps), limit)]
    told = [(step.step, step.meter) for step in steps if step.meter]
    columns = {
        name: np.array([getattr(seen, name) for _, seen in told], dtype=np.int64)
        for name in ("images", "local", "looked", "bytes_up", "bytes_down")
    }
    wall, last = record.spec.wall, told[-1][1]
    assert wall is not None
    return Meters(
        step=np.array([step for step, _ in told], dtype=np.int64),
        images=columns["images"],
        made=columns["images"] - columns["local"],
        local=columns["local"],
        looked=columns["looked"],
        up_megabytes=columns["bytes_up"] / MEGA,
        down_megabytes=columns["bytes_down"] / MEGA,
        money=columns["images"] / 1000 * wall.price,
        requests=last.requests,
        retried=last.retried,
        cached=last.cached,
        budget=wall.budget or None,
        price=wall.price,
    )
