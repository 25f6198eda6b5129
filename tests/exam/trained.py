"""Runs that were trained for tests of the examiner, and how they are named as sides of a case."""

from pathlib import Path
from typing import NamedTuple

from kdcore.comparison.question import Party
from kdcore.runs.record import stamp_of
from kdcore.spec.spec import Spec


class Runs(NamedTuple):
    """Folders and specs."""

    teacher: tuple[Spec, Path]
    student: tuple[Spec, Path]
    other: tuple[Spec, Path]  # the student with another seed


def party(title: str, run: tuple[Spec, Path]) -> Party:
    spec, folder = run
    return Party(title=title, folder=str(folder), spec=spec.model_dump_json(), stamp=stamp_of(folder))
