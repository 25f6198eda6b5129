"""The sections Why and Slices: causes with their evidence, thresholds that hold, runs that bear witness."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from case_factory import random_case
from lab_driver import Finish, Open, components, labels, said

from app import run_store
from app.helpers import comparison
from app.inspector.gather_evidence import told, wanted
from app.panels import View, panel
from kdcore.comparison.case import Case, folder_of, write_about
from kdcore.comparison.causes import CAUSES, Thresholds, causes, keep, knobs_of
from kdcore.runs.record import write_arrays
from kdcore.spec.spec import Choice

CASE = "case-0123456789ab"


@pytest.fixture
def seen(lab: Open) -> Case:
    assert lab
    return random_case(folder_of(CASE))


def test_why_tells_a_row_s_evidence_and_what_is_missing(lab: Open, seen: Case) -> None:
    page = lab("inspector", case=seen.id, section="why", sample="3")
    assert not page.exception
    assert components(page) == 1
    assert "so never a cause here: other seeds, a longer run" in said(page)
    assert "Other seeds, of which 30% would have to be unlike this student, were not asked." in said(page)


def test_a_task_that_ends_while_the_page_is_drawn_is_on_it(
    lab: Open, seen: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page tells the evidence first and looks afterwards how far its task is."""

    def end(folder: Path, task: str) -> bool:
        if task == "support" and not seen.part(task):
            write_arrays(folder / "support.npz", {"distance": np.ones(len(seen.rows)), "own": np.ones(50)})
        return False

    write_about(seen.folder, seen.about.model_copy(update={"data": Choice(name="digits")}))
    monkeypatch.setattr(comparison, "working", end)
    page = lab("inspector", case=seen.id, section="why")
    assert "Its 10th nearest training row is 1 away" in said(page)
    assert "Distances to the training rows were not measured" not in said(page)


def test_thresholds_stand_on_the_page_and_can_be_taken_back(lab: Open, seen: Case) -> None:
    keep(seen, Thresholds(gap=0.5))
    page = lab("inspector", case=CASE, section="why")
    (gap,) = [item for item in page.number_input if item.key == "form threshold gap"]
    assert gap.value == 0.5
    gap.set_value(0.6).run()
    assert knobs_of(Case(seen.folder)).gap == 0.6
    assert "Back to the defaults" in labels(page)


def test_slices_are_told_or_that_there_are_none(lab: Open, seen: Case) -> None:
    assert not lab("inspector", case=CASE, section="slices").exception
    lacking = panel("case-slices").lacks(seen)
    assert lacking is None or lacking.startswith("Nothing found: of ")


def test_bars_of_causes_are_selections(seen: Case) -> None:
    drawn = panel("case-causes").draw(seen, View(select="cause=unclear"))
    (bars,) = drawn["data"]
    assert bars["customdata"] == list(CAUSES)[::-1]
    assert sum(bars["x"]) == causes(seen).disagreements
    assert bars["marker"]["opacity"][0] == 1.0 > bars["marker"]["opacity"][1]


def test_witnesses_that_are_done_already_are_not_wanted_again(finish: Finish) -> None:
    student, other = finish(seed=0), finish(seed=2)
    found = wanted(student.spec, run_store.store().runs())
    assert [run.id if run else None for _, run in found["seeds"]] == [None, other.id, None]
    assert told(found).startswith("3 other seeds, a longer run")
