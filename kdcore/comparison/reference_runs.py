"""Which further runs would tell why a student disagrees: the same with other seeds, for longer, or bigger."""

from __future__ import annotations

from kdcore.spec.schedule import Json
from kdcore.spec.spec import Spec, parse

SEEDS = 3
LONGER = 2  # times the steps


def witnesses(spec: Spec) -> dict[str, tuple[Spec, ...]]:
    """Specs by kind of `kdcore.comparison.causes.WITNESSES`; none that is bigger where the teacher is no run of ours,
    or of the student's own size."""
    dumped = spec.model_dump(mode="json")

    def altered(**fields: Json | dict[str, Json]) -> Spec:
        return parse(dumped | fields)

    schedule = dumped["schedule"] | {"steps": LONGER * spec.schedule.steps}
    teacher = spec.teacher.student if spec.teacher else spec.student
    return {
        "seeds": tuple(altered(seed=(spec.seed + k) % 2**31) for k in range(1, SEEDS + 1)),
        "longer": (altered(schedule=schedule),),
        "bigger": () if teacher == spec.student else (altered(student=teacher.model_dump(mode="json")),),
    }
