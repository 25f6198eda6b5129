"""What knowledge costs: runs against one teacher through one wall, by images asked and by what was learned."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from kdcore.events import Finished
from kdcore.runs.bill import bill
from kdcore.spec.spec import Spec

Measure = Literal["agreement", "accuracy"]
Task = tuple[str, str, str]  # data set, teacher, access


class Point(NamedTuple):
    """One finished run behind a wall."""

    run: str  # id
    spec: Spec
    images: int  # different ones that were paid for
    real: int | None  # of those the real ones, local or held out; None where an old run did not count them
    money: float  # dollars
    accuracy: float  # on the test split
    agreement: float | None  # with the teacher, on the test split
    spent: bool  # whether its query budget was used up

    def value(self, measure: Measure) -> float | None:
        """Return what was learned, as a fraction."""
        return self.accuracy if measure == "accuracy" else self.agreement


def task_of(spec: Spec) -> Task | None:
    """Return what runs must share to be laid beside one another; None where no wall stands."""
    if spec.wall is None:
        return None
    return spec.data.name, _taught(spec), spec.access


def _taught(spec: Spec) -> str:
    """By whom a run is taught; "" by nobody."""
    return spec.service.model_dump_json() if spec.service else spec.teacher.hash if spec.teacher else ""


def point_of(run: str, spec: Spec, ended: Finished | None) -> Point | None:
    """Return a run as a point; None where it is not over, or nobody counted."""
    if ended is None or ended.meter is None or spec.wall is None or "student_accuracy" not in ended.result:
        return None
    told, result = bill(spec, ended.meter), ended.result
    found = result["student_accuracy"], result.get("agreement")
    return Point(run, spec, told.images, told.real, told.dollars, *found, spent=ended.spent)


def best(points: Iterable[Point], measure: Measure) -> list[Point]:
    """Return the points that no other beats with as few images, by images: each is better than all before it
    (Pareto).
    """
    found: list[Point] = []
    told = [(point, value) for point in points if (value := point.value(measure)) is not None]
    for point, value in sorted(told, key=lambda one: (one[0].images, -one[1])):
        if not found or value > (found[-1].value(measure) or 0.0):
            found.append(point)
    return found


class Reference(NamedTuple):
    """What a student on the edge's real images themselves reaches."""

    run: str
    spec: Spec
    accuracy: float
    agreement: float | None  # None where it was not measured

    def value(self, measure: Measure) -> float | None:
        """Return what was learned, as a fraction."""
        return self.accuracy if measure == "accuracy" else self.agreement


def reference(beside: Spec, ended: Sequence[tuple[str, Spec, dict[str, float]]]) -> Reference | None:
    """Return the most accurate of the other runs that learned from the same teacher on the very images that the edge of
    `beside` owns; None without one. A run is never its own reference, nor is one of the same spec, which gives the same
    bits.

    Args:
        beside: the run that is to be compared.
        ended: id, spec and result of finished runs.
    """
    alike = [one for one in ended if _on_local(one[1], beside) and "student_accuracy" in one[2]]
    alike = [one for one in alike if one[1].hash != beside.hash]
    if not alike:
        return None
    run, spec, result = max(alike, key=lambda one: one[2]["student_accuracy"])
    return Reference(run, spec, result["student_accuracy"], result.get("agreement"))


def _on_local(spec: Spec, beside: Spec) -> bool:
    """Whether a run drew its batches from the same rows, with a network and a teacher like the other's."""
    rows = ("train_fraction", "seed", "validation")
    same = spec.data.name == beside.data.name and all(spec.data.knobs[k] == beside.data.knobs[k] for k in rows)
    return same and on_real(spec) and spec.student == beside.student and _taught(spec) == _taught(beside)


def on_real(spec: Spec) -> bool:
    """Whether a run learns on the edge's real images themselves."""
    return spec.source.name == "data"
