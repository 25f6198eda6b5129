"""At which steps a run reports. No torch is imported here."""

from __future__ import annotations

from kdcore.spec.spec import Watch


def marks(steps: int, count: int) -> list[int]:
    """At most `count` steps spread evenly over the run, the last one included."""
    return sorted({round(place * steps / count) for place in range(1, count + 1)} - {0})


class Due:
    """At which steps something is due.

    Checkpoints fall on loss points, so no half-filled mean is ever saved; a run that is stopped has both there too,
    and an evaluation.
    """

    def __init__(self, lead: int, steps: int, watch: Watch) -> None:
        points = sorted({*marks(lead + steps, watch.points), lead} - {0})
        self.points = set(points)
        self.evaluations = {lead + place for place in [0, *marks(steps, watch.evaluations)]} - {0}
        self.frames = {*marks(lead + steps, watch.frames), lead} - {0}
        self.checkpoints = {points[place - 1] for place in marks(len(points), watch.checkpoints)}
        self.all = self.points | self.evaluations | self.frames | self.checkpoints
