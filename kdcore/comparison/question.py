"""What a person asks when they open two models on the same rows; the same question is the same case."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path

from pydantic import Field, ValidationError

from kdcore.atomic import write_text
from kdcore.comparison.case import Where, folder_of
from kdcore.errors import BadInput
from kdcore.frozen import FrozenModel
from kdcore.spec.spec import Choice, Spec, parse

ROWS = 10_000
MOST_ROWS = 50_000
FILE = "question.json"
SENDS = "Rows may be sent to the remote teacher"  # as the form asks for `Question.sends`
OTHERS = "only who owns the run may send its teacher anything."
ALLOW = f"to allow that, tick \u201c{SENDS}\u201d where the models are chosen, and open them again."


class Party(FrozenModel):
    """A model that is to be asked: a run of ours by its folder, or a service; of a service that teaches a run, that
    run's folder and spec say how it is asked and what it was asked before."""

    title: str
    run: str | None = None
    folder: str | None = None  # the run's
    spec: str | None = None  # the run's, as JSON
    stamp: int = 0  # of the run's weights, so that a run that goes on is another case later
    service: Choice | None = None


class Question(FrozenModel):
    """Two models, and the rows they are asked about."""

    data: Choice
    where: Where = "val"
    rows: int = Field(ROWS, ge=1, le=MOST_ROWS)  # at most; the first of the split
    student: Party
    teacher: Party | None = None
    given: str = ""  # the name of images that were brought, in the place of a split
    notes: tuple[str, ...] = ()  # what was done to them
    sends: bool = False  # whether a remote teacher may be sent the rows, and images made of them

    @property
    def id(self) -> str:
        """The name of its case."""
        return f"case-{hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:12]}"

    @property
    def folder(self) -> Path:
        """Where its case lies."""
        return folder_of(self.id)

    def write(self) -> None:
        """Keep the question in the folder of its case, so that it can be gone on with."""
        write_text(self.folder / FILE, self.model_dump_json())


def asked(folder: Path) -> Question:
    """The question of a case.

    Raises:
        BadInput: there is none, as for answers that were given as a file.
    """
    try:
        return Question.model_validate_json((folder / FILE).read_text())
    except (OSError, ValidationError) as error:
        raise BadInput("This comparison has outputs only, no models on this machine; open two models.") from error


def specs(folder: Path) -> list[Spec]:
    """Specs of the runs that a case's models are of, or are asked by, as far as they can be read."""
    found = []
    with suppress(BadInput):  # nothing but answers was given, or an earlier KD Lab wrote the spec
        one = asked(folder)
        found += [parse(side.spec) for side in (one.student, one.teacher) if side and side.spec]
    return found
