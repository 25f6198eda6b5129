"""What asking the teacher has taken: images, megabytes, money."""

from dataclasses import dataclass

import numpy as np

from kdcore.events import Meter
from kdcore.probes._numerics import Floats, Ints, thinned
from kdcore.runs.bill import dollars
from kdcore.runs.record import Record

MEGA = 1e6  # bytes


@dataclass(frozen=True)
class Meters:
    """Over the reported steps (S,), from the beginning of the run; images asked twice are counted once."""

    step: Ints
    images: Ints  # paid for: made, local and measuring together
    made: Ints  # synthetic ones to learn from
    local: Ints  # the edge's own to learn from
    measuring: Ints  # sent to a remote teacher for measuring alone
    measured_real: Ints  # of those, real ones; -1 where it was not counted
    looked: Ints  # shown for nothing to a teacher on this machine, for measuring alone
    up_megabytes: Floats
    down_megabytes: Floats
    money: Floats  # dollars
    used: tuple[int, int] | None  # the newest loss point's step and count where that is less: the run was interrupted
    lags: bool  # whether the picture is of a later step than the newest count
    requests: int  # now
    retried: int
    cached: int  # answers from memory
    budget: int | None  # images
    price: float  # dollars per 1,000
    by_hand: int  # queries that a person sent beside the run, part of the same budget


def meter(record: Record, limit: int = 2000) -> Meters:
    """Queries so far and their cost. Images for learning and images for measuring add up to what is paid for.

    At most `limit` steps, evenly spread.
    """
    known = record.meters
    told = [known[k] for k in thinned(len(known), limit)]
    columns = {
        name: np.array([getattr(seen, name) for _, seen in told], dtype=np.int64)
        for name in ("images", "local", "looked", "bytes_up", "bytes_down")
    }
    wall, last = record.spec.wall, told[-1][1]
    assert wall is not None
    free = np.zeros_like(columns["looked"])
    measuring, looked = (columns["looked"], free) if record.spec.remote else (free, columns["looked"])
    images = columns["images"] + measuring
    real = [-1 if seen.looked_real is None else seen.looked_real for _, seen in told]
    return Meters(
        step=np.array([step for step, _ in told], dtype=np.int64),
        images=images,
        made=columns["images"] - columns["local"],
        local=columns["local"],
        measuring=measuring,
        measured_real=np.array(real, dtype=np.int64),
        looked=looked,
        up_megabytes=columns["bytes_up"] / MEGA,
        down_megabytes=columns["bytes_down"] / MEGA,
        money=images.astype(np.float64) * dollars(1, wall.price),
        requests=last.requests,
        used=_used(record, last),
        lags=record.step > told[-1][0],
        retried=last.retried,
        cached=last.cached,
        budget=wall.budget or None,
        price=wall.price,
        by_hand=record.by_hand,
    )


def _used(record: Record, paid: Meter) -> tuple[int, int] | None:
    """The newest loss point's step, and how many images to learn from the run has used by it, where an interruption has
    it use again what it paid before; None elsewhere."""
    last = next((step for step in reversed(record.steps) if step.meter), None)
    if last is None or last.meter is None:
        return None
    by_then = max(meter.images for step, meter in record.meters if step <= last.step)
    return (last.step, last.meter.images) if last.meter.images < by_then <= paid.images else None
