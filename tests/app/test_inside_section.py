"""The section Inside: one group at a time, what it asks of the examiner, and what its controls turn."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from case_factory import random_case
from lab_driver import Finish, Open, button, components

from app.helpers import comparison
from app.inspector import section_inside
from kdcore.comparison.case import folder_of
from kdcore.comparison.question import Party, Question
from kdcore.runs.record import write_arrays

CASE = "case-0123456789ab"
TASKS = {
    "Stages": ("Compare all stages", "similarity"),
    "Gradients": ("Compute gradients", "conflict"),
    "Knowledge": ("Compute knowledge points", "knowledge"),
    "Perturbations": ("Perturb the samples", "augment"),
    "Line": ("Interpolate", "line"),
}


@pytest.fixture
def opened(lab: Open) -> Open:
    """Opens the section on a case that is there, made of random answers."""
    random_case(folder_of(CASE), classes=5)
    return lambda **query: lab("inspector", case=CASE, section="inside", **query)


@pytest.mark.parametrize("group", section_inside.GROUPS)
def test_each_group_draws_its_panels(opened: Open, group: str) -> None:
    page = opened(knobs=f"inside={group}")
    assert not page.exception
    assert components(page) == 1


@pytest.mark.parametrize("group", TASKS)
def test_a_button_begins_the_task_with_the_selection(opened: Open, monkeypatch: pytest.MonkeyPatch, group: str) -> None:
    start = Mock()
    monkeypatch.setattr(comparison, "start", start)
    label, task = TASKS[group]
    button(opened(knobs=f"inside={group}", select="true=1"), label)
    folder, name = start.call_args.args
    assert (folder.name, name) == (CASE, task)
    if group in ("Stages", "Knowledge", "Perturbations"):
        assert start.call_args.kwargs == {"select": "true=1"}


def test_corners_are_part_of_the_link(opened: Open) -> None:
    page = opened(knobs="inside=Classes")
    page = page.multiselect[0].set_value([3, 0]).run()
    assert not page.exception
    assert page.query_params["knobs"] == "inside=Classes;three=3+0"


def test_a_line_may_lead_to_another_student_of_the_same_kind(finish: Finish, tmp_path: Path) -> None:
    mine, other = finish(seed=0), finish(seed=1)
    finish(data="xor")
    case = random_case(tmp_path / "case")
    student = case.about.student.model_copy(update={"run": mine.id})
    case.about = case.about.model_copy(update={"student": student})
    assert list(section_inside._others(case)) == [other.id]
    assert section_inside._others(random_case(tmp_path / "answers")) == {}


def test_the_step_is_followed_by_the_panels(opened: Open, tmp_path: Path) -> None:
    run = tmp_path / "run"
    write_arrays(run / "static.npz", {"probe_labels": np.zeros(4, int), "probe_index": np.arange(4)})
    for step in (0, 50):
        write_arrays(run / "frames" / f"{step:08d}.npz", {"student_logits": np.zeros((4, 5))})
    folder = folder_of(CASE)
    page = opened()
    question = Question(data={"name": "digits"}, student=Party(title="student", folder=str(run)))
    (folder / "question.json").write_text(question.model_dump_json())
    page = page.run()
    assert page.select_slider[0].value == section_inside.END
    page = page.select_slider[0].set_value(0).run()
    assert page.query_params["at"] == "0"
    assert opened(at="60").select_slider[0].value == 50
