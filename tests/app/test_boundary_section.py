"""The section Boundary: one of three views, planes that are asked for, settings that live in the link."""

from __future__ import annotations

from unittest.mock import Mock

import pytest
from case_factory import random_case
from lab_driver import Open, button, components, labels, said

from app.helpers import comparison
from kdcore.comparison.case import Progress, folder_of, tell, write_about
from kdcore.spec.spec import Choice

CASE = "case-0123456789cd"


@pytest.fixture
def opened(lab: Open, monkeypatch: pytest.MonkeyPatch) -> Open:
    """Opens the section on a case whose models are at hand; what is asked of them is only noted."""
    case = random_case(folder_of(CASE))
    write_about(case.folder, case.about.model_copy(update={"data": Choice(name="digits")}))
    monkeypatch.setattr(comparison, "later", Mock())
    monkeypatch.setattr(comparison, "start", Mock())
    return lambda **query: lab("inspector", case=CASE, section="boundary", **query)


def test_the_plane_of_the_pinned_rows_is_asked_for(opened: Open) -> None:
    page = opened(sample="4", beside="9")
    assert not page.exception
    assert components(page) == 1
    comparison.later.assert_called_with(folder_of(CASE), "plane", row=4, beside=9, third=None)  # type: ignore[attr-defined]


def test_the_pinned_row_may_be_kept_as_the_third(opened: Open) -> None:
    page = button(opened(sample="4"), "Keep row 4 as the third")
    assert page.query_params["knobs"] == "third=4"
    assert "Third row: 4" in labels(page)
    assert "knobs" not in button(page, "Third row: 4").query_params


def test_what_hinders_a_plane_is_said(opened: Open) -> None:
    tell(folder_of(CASE), "plane", Progress(state="failed", says="These three rows lie on one line."))
    assert "These three rows lie on one line." in [warning.value for warning in opened().warning]


def test_umap_is_begun_with_what_the_page_says(opened: Open) -> None:
    page = opened(knobs="boundary=embedding;colour=kl")
    assert not page.exception
    button(page, "Lay out by UMAP")
    wish = {"of": "features", "rows": 2000, "neighbours": 15, "apart": 0.1}
    comparison.start.assert_called_once_with(folder_of(CASE), "embedding", **wish)  # type: ignore[attr-defined]


def test_a_map_is_made_of_the_selected_rows_first(opened: Open) -> None:
    button(opened(knobs="boundary=map", select="true=3"), "Make the map")
    wish = {"select": "true=3", "rows": 150, "weight": 0.65}
    comparison.start.assert_called_once_with(folder_of(CASE), "map", **wish)  # type: ignore[attr-defined]


@pytest.mark.parametrize("view", ["plane", "map"])
def test_answers_without_models_have_no_other_places(lab: Open, view: str) -> None:
    random_case(folder_of("case-0123456789ce"))
    page = lab("inspector", case="case-0123456789ce", section="boundary", knobs=f"boundary={view}")
    assert not page.exception
    assert "Only outputs were uploaded" in said(page) + " ".join(info.value for info in page.info)
