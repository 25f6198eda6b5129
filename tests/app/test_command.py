"""The line that the Lab offers gives the same run on the command line."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from test_link import anything, calm

from app.cli.arguments import wanted
from app.components.cli_command import command
from app.links.lab import Settings, complete, spec_of
from kdcore.errors import BadInput
from kdcore.runs.changes import with_changes
from kdcore.spec.lineage import recommended
from kdcore.spec.spec import Change, Spec


def read(line: str) -> Spec:
    """The spec of a line, as the command line takes it apart."""
    program, verb, *rest = shlex.split(line)
    assert (program, verb) == ("kdlab", "run")
    pairs = list(zip(rest[::2], rest[1::2], strict=True))
    several = {flag: [text for name, text in pairs if name == flag] for flag in ("--set", "--change")}
    flags = {name.removeprefix("--"): text for name, text in pairs if name not in several}
    return wanted(None, flags, several["--set"], several["--change"])


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


@pytest.mark.parametrize("method", ["kd", "ban"])
def test_the_line_of_a_changed_run_says_what_changed_and_when(method: str) -> None:
    made = [Change(step=300, path=f"method.{knob}", value=value) for knob, value in (("label_weight", 0.7),)]
    spec = with_changes(recommended("moons", method), [*made, Change(step=9, path="schedule.lr", value=0.02)])
    line = command(spec)
    assert line is not None
    assert line.endswith("--change 9:schedule.lr=0.02 --change 300:method.label_weight=0.7")
    assert read(line) == spec
    assert read(line).hash != recommended("moons", method).hash


@pytest.mark.parametrize("rate", [0.02, 0.1])
def test_a_setting_of_ones_own_that_changes_later_is_said_twice(rate: float) -> None:
    spec = spec_of(complete({"data": "moons", "schedule.lr": rate}))
    line = command(with_changes(spec, [Change(step=30, path="schedule.lr", value=0.005)]))
    assert line is not None
    assert read(line) == with_changes(spec, [Change(step=30, path="schedule.lr", value=0.005)])


def test_changes_are_said_in_one_way_alone() -> None:
    with pytest.raises(BadInput, match="give --change alone"):
        wanted(None, {"data": "moons"}, ["changes=none"], ["30:schedule.lr=0.005"])


@given(anything())
@calm
def test_no_line_gives_another_run(form: Settings) -> None:
    try:
        spec = spec_of(form)
    except BadInput:
        return
    line = command(spec)
    assert line is None or read(line).hash == spec.hash
