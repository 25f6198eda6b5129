"""The line that the Lab offers gives the same run on the command line."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from test_link import anything, calm

from app.cli.arguments import wanted
from app.command import command
from app.link import Settings, complete, spec_of
from kdcore.errors import BadInput
from kdcore.lineage import recommended
from kdcore.spec import Spec


def read(line: str) -> Spec:
    """The spec of a line, as the command line takes it apart."""
    program, verb, *rest = shlex.split(line)
    assert (program, verb) == ("kdlab", "run")
    pairs = list(zip(rest[::2], rest[1::2], strict=True))
    flags = {name.removeprefix("--"): text for name, text in pairs if name != "--set"}
    return wanted(None, flags, [text for name, text in pairs if name == "--set"])


def test_a_recommended_run_is_short() -> None:
    assert command(recommended("moons")) == "kdlab run --data moons"


@pytest.mark.parametrize(
    "changes",
    [
        {"data": "moons", "data.noise": 0.3, "seed": 4, "method": "dkd", "method.beta": 2.0},
        {"student": "cnn", "student.width": 16, "teacher": "mlp", "teacher.width": 128, "teaching.steps": 50},
        {"teacher": "none", "method": "ce", "schedule.milestones": [0.5, 0.75], "schedule.nesterov": True},
        {"data": "image_folder", "data.path": "", "source.augment": "shift"},
    ],
)
def test_the_line_gives_the_run_back(changes: Settings) -> None:
    spec = spec_of(complete(changes))
    line = command(spec)
    assert line is not None
    assert read(line) == spec


@given(anything())
@calm
def test_no_line_gives_another_run(form: Settings) -> None:
    try:
        spec = spec_of(form)
    except BadInput:
        return
    line = command(spec)
    assert line is None or read(line).hash == spec.hash
