"""The Inspector's page: opening two models, sections, selections in words, and the landscape of runs."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from case_factory import case, random_case
from lab_driver import Finish, Open, button, components, labels, said

from app import case_link, engine, examining
from app.inspector.where import landscape
from kdcore.cases.case import Progress, folder_of, progress, tell
from kdcore.cases.question import Party, Question
from kdcore.errors import BadInput
from kdcore.spec import Choice

CASE = "case-0123456789ab"


@pytest.fixture
def opened(lab: Open) -> Open:
    """Opens the page on a case that is there."""
    random_case(folder_of(CASE))
    return lambda **query: lab("inspector", case=CASE, **query)


def test_without_a_run_it_says_what_to_do(lab: Open) -> None:
    page = lab("inspector")
    assert "No run has kept weights yet" in said(page)
    assert not page.exception


def test_a_case_shows_its_panels_and_an_unknown_one_a_sentence(opened: Open, lab: Open) -> None:
    page = opened()
    assert not page.exception
    assert components(page) == 1
    assert "**200** rows · student right" in said(page)
    gone = lab("inspector", case="case-gone")
    assert "There is no comparison 'case-gone'" in gone.error[0].value


def test_a_selection_is_told_in_words_and_taken_back_by_a_click(opened: Open) -> None:
    page = opened(select="part=teacher_only;true=1")
    assert {"teacher only", "is class 1", "Clear"} <= set(labels(page))
    page = button(page, "teacher only")
    assert "teacher only" not in labels(page)
    assert page.query_params["select"] == "true=1"
    page = button(page, "Clear")
    assert "select" not in page.query_params


def test_two_terms_taken_back_by_clicks_that_no_page_came_between(opened: Open) -> None:
    page = opened(select="part=teacher_only;true=1;teacher=1")
    for one in page.button:
        if one.label in ("teacher only", "is class 1"):
            one.set_value(True)
    assert page.run().query_params["select"] == "teacher=1"


def test_a_selection_that_makes_no_sense_is_said(opened: Open) -> None:
    assert "The selection was left out" in said(opened(select="colour=red"))


def test_links_are_read_back_as_they_were_written() -> None:
    query = {"case": CASE, "section": "why", "select": "true=3", "sample": "7", "beside": "2", "where": "test"}
    shown, complaints = case_link.read(query)
    assert not complaints
    assert case_link.write(shown) == query
    _, complaints = case_link.read({"section": "cellar", "colour": "red", "sample": "-1"})
    assert len(complaints) == 3


def test_the_landscape_holds_finished_runs_on_the_same_data(finish: Finish, tmp_path: Path) -> None:
    mine, other = finish(seed=0, accuracy=0.9), finish(seed=1, accuracy=0.8)
    finish(data="xor")
    seen = random_case(tmp_path / "case")
    about = seen.about.model_copy(
        update={"data": mine.spec.data, "student": seen.about.student.model_copy(update={"run": mine.id})}
    )
    seen.about = about

    found = landscape(seen, engine.store().runs(states={"done"}))
    assert set(found["id"]) == {mine.id, other.id}
    assert found.set_index("id").loc[mine.id, "which"] == "this one"
    assert found.set_index("id").loc[other.id, "accuracy"] == 0.8


def test_a_task_is_begun_once_and_its_failure_is_kept(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = home / "cases" / CASE
    helper = Mock()
    helper.ask.side_effect = BadInput("It broke.")
    monkeypatch.setattr(examining, "slow", helper)
    examining.start(folder, "embedding", neighbours=5)
    examining._queue().submit(lambda: None).result()
    assert helper.ask.call_args.args[0] == {"task": "embedding", "folder": str(folder), "asked": {"neighbours": 5}}
    assert progress(folder, "embedding") == Progress(state="failed", says="It broke.")
    assert not examining.under_way(folder, "embedding")


def test_what_another_server_left_undone_is_begun_again(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    helper = Mock()
    monkeypatch.setattr(examining, "slow", helper)
    party = Party(title="student", service=Choice(name="weights"))
    Question(data=Choice(name="digits"), student=party).write()
    folder = folder_of(CASE)
    (folder / "question.json").write_text(Question(data=Choice(name="digits"), student=party).model_dump_json())
    tell(folder, "answers", Progress(state="working", share=0.5))
    opened()
    examining._queue().submit(lambda: None).result()
    assert helper.ask.call_args.args[0]["task"] == "answers"


def test_no_two_runs_are_compared_without_weights(finish: Finish) -> None:
    with pytest.raises(BadInput, match="kept no weights"):
        examining.question(finish())


def test_a_case_without_a_teacher_says_so(lab: Open) -> None:
    case(folder_of(CASE), np.zeros(4), np.eye(4))
    page = lab("inspector", case=CASE, select="teacher=1")
    assert "There is no teacher here" in said(page)


def test_the_sharpest_disagreement_is_pinned_at_first_unless_the_link_pins_another(opened: Open) -> None:
    seen = random_case(folder_of(CASE)).rows
    apart = np.where(seen.student_top != seen.teacher_top, seen.kl, -1.0)
    assert opened().query_params["sample"] == str(int(apart.argmax()))
    assert opened(sample="7").query_params["sample"] == "7"
