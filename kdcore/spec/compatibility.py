"""Which two networks a method can join, told from the shapes of their stages alone. No torch.

A stage's shape is (K, H, W) where it is a map and (K,) where it is a vector.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, TypeVar

from kdcore.contracts.method import JOINS, Joins, Method, Pair
from kdcore.errors import BadInput
from kdcore.spec.catalogue import check_knobs, entry

S = TypeVar("S")
T = TypeVar("T")
Stages = Sequence[Sequence[int]]


def cuts(student_stages: int, teacher_stages: int) -> list[tuple[int, int]]:
    """After how many blocks of student and teacher each stepping stone crosses over; the last is after all of both."""
    stones = min(student_stages, teacher_stages)
    return [
        ((2 * i * student_stages + stones) // (2 * stones), (2 * i * teacher_stages + stones) // (2 * stones))
        for i in range(1, stones + 1)
    ]


def paired(student: Sequence[S], teacher: Sequence[T]) -> list[tuple[S, T]]:
    """Stages that belong together: the last of both, and so on back to the first of the network that has fewer."""
    fewest = min(len(student), len(teacher))
    return list(zip(student[len(student) - fewest :], teacher[len(teacher) - fewest :], strict=True))


def misfit(joins: Joins, student: Stages, teacher: Stages) -> str | None:
    """Why a method that joins so cannot join two networks, as the rest of a sentence that begins with its name."""
    told = f"the student's stages are {_told(student)} and the teacher's {_told(teacher)}"
    if joins == "places" and not any(prod(one[1:]) > 1 < prod(two[1:]) for one, two in paired(student, teacher)):
        return f"compares places of an image, but no pair of stages has several on both sides: {told}"
    if joins == "maps" and not all(any(len(stage) > 1 for stage in stages) for stages in (student, teacher)):
        return f"reads where in an image a network looks, but one of the two has vectors alone: {told}"
    if joins == "last_map" and not all(len(stages[-1]) > 1 for stages in (student, teacher)):
        return f"compares the maps of the last stage, but there one of the two has a vector: {told}"
    for mine, theirs in cuts(len(student), len(teacher)) if joins == "blocks" else ():
        one, two = student[mine - 1], teacher[theirs - 1]
        if len(one) < len(two):
            return (
                f"cannot join stage {mine} of the student, a vector of shape {_shape(one)}, to what follows stage "
                f"{theirs} of the teacher, which reads maps of shape {_shape(two)}"
            )
    return None


def refuse_misfit(method: Method, pair: Pair) -> None:
    """For a method's `connect`.

    Raises:
        BadInput: the method cannot join the two networks.
    """
    if reason := misfit(method.joins, pair.student, pair.teacher):
        raise BadInput(f"{method.title} {reason}; it takes {JOINS[method.joins]}, such as 'cnn' or 'resnet'.")


def _told(stages: Stages) -> str:
    return ", ".join(map(_shape, stages))


def _shape(stage: Sequence[int]) -> str:
    return "x".join(map(str, stage))


def stages_of(model: str, knobs: Mapping[str, Any], shape: Sequence[int]) -> list[list[int]] | None:
    """Return the shapes of a network's stages for inputs of `shape`; None where the catalogue does not know them."""
    chosen = check_knobs("model", model, knobs)
    rows = entry("model", model)["costs"]
    found = (row["stages"] for row in rows if row["shape"] == list(shape) and row["knobs"] == chosen)
    return next(found, None)
