"""The Inspector's page: opening two models, sections, selections in words, and the landscape of runs."""

from __future__ import annotations

import os
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from case_factory import case, random_case
from lab_driver import Finish, Open, button, components, labels, said, story
from safetensors.numpy import save_file

from app import run_store
from app.helpers import comparison
from app.inspector.section_where import landscape
from app.links import inspector
from kdcore.comparison.case import Case, Progress, Side, folder_of, progress, purge, tell, write_about
from kdcore.comparison.question import MOST_ROWS, Party, Question
from kdcore.errors import BadInput
from kdcore.jobs.rows import Run
from kdcore.spec.spec import Choice

CASE = "case-0123456789ab"


@pytest.fixture
def opened(lab: Open) -> Open:
    """Opens the page on a case that is there."""
    random_case(folder_of(CASE))
    return lambda **query: lab("inspector", case=CASE, **query)


def test_without_a_run_it_says_what_to_do(lab: Open) -> None:
    page = lab("inspector")
    assert "No run has saved weights yet" in said(page)
    assert not page.exception


def test_a_case_shows_its_panels_and_an_unknown_one_a_sentence(opened: Open, lab: Open) -> None:
    page = opened()
    assert not page.exception
    assert components(page) == 1
    assert "**200** validation samples · student right" in said(page)
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
    shown, complaints = inspector.read(query)
    assert not complaints
    assert inspector.write(shown) == query
    _, complaints = inspector.read({"section": "cellar", "colour": "red", "sample": "-1"})
    assert len(complaints) == 3


def test_the_landscape_holds_finished_runs_on_the_same_data(finish: Finish, tmp_path: Path) -> None:
    mine, other = finish(seed=0, accuracy=0.9), finish(seed=1, accuracy=0.8)
    finish(data="xor")
    seen = random_case(tmp_path / "case")
    about = seen.about.model_copy(
        update={"data": mine.spec.data, "student": seen.about.student.model_copy(update={"run": mine.id})}
    )
    seen.about = about

    found = landscape(seen, run_store.store().runs(states={"done"}))
    assert set(found["id"]) == {mine.id, other.id}
    assert found.set_index("id").loc[mine.id, "which"] == "this one"
    assert found.set_index("id").loc[other.id, "accuracy"] == 0.8


def test_a_task_is_begun_once_and_its_failure_is_kept(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = home / "cases" / CASE
    helper = Mock()
    helper.ask.side_effect = BadInput("It broke.")
    monkeypatch.setattr(comparison, "slow", helper)
    comparison.start(folder, "embedding", neighbours=5)
    comparison._queue().submit(lambda: None).result()
    request = {"task": "embedding", "folder": str(folder), "asked": {"neighbours": 5}, "sends": False}
    assert helper.ask.call_args.args[0] == request
    assert progress(folder, "embedding") == Progress(state="failed", says="It broke.")
    assert not comparison.under_way(folder, "embedding")


def test_what_another_server_left_undone_is_begun_again(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    helper = Mock()
    monkeypatch.setattr(comparison, "slow", helper)
    party = Party(title="student", service=Choice(name="weights"))
    Question(data=Choice(name="digits"), student=party).write()
    folder = folder_of(CASE)
    (folder / "question.json").write_text(Question(data=Choice(name="digits"), student=party).model_dump_json())
    tell(folder, "answers", Progress(state="working", share=0.5))
    opened()
    comparison._queue().submit(lambda: None).result()
    assert helper.ask.call_args.args[0]["task"] == "answers"


def test_no_two_runs_are_compared_without_weights(finish: Finish) -> None:
    with pytest.raises(BadInput, match="kept no weights"):
        comparison.question(finish())


def test_a_case_without_a_teacher_says_so(lab: Open) -> None:
    case(folder_of(CASE), np.zeros(4), np.eye(4))
    page = lab("inspector", case=CASE, select="teacher=1")
    assert "There is no teacher here" in said(page)


def test_the_sharpest_disagreement_is_pinned_at_first_unless_the_link_pins_another(opened: Open) -> None:
    seen = random_case(folder_of(CASE)).rows
    apart = np.where(seen.student_top != seen.teacher_top, seen.kl, -1.0)
    assert opened().query_params["sample"] == str(int(apart.argmax()))
    assert opened(sample="7").query_params["sample"] == "7"


# A student that learns on


def kept(run: Run) -> Run:
    """The run with weights, of which nothing but their time counts."""
    run.folder.mkdir(parents=True, exist_ok=True)
    save_file({"weight": np.zeros(1)}, run.weights)
    return run


def answered(folder: Path, seed: int = 0) -> Case:
    """A case whose two models have been asked."""
    known = random_case(folder, seed=seed)
    tell(folder, comparison.FIRST, Progress(state="done", share=1.0))
    return known


def seen_at(run: Run, stamp: int) -> Question:
    """What was asked of a run when its weights had that stamp, and the answers."""
    question = Question(data=Choice(name="digits"), student=comparison.party(run).model_copy(update={"stamp": stamp}))
    known = answered(question.folder)
    side = {"student": Side(title="S", run=run.id), "data": question.data}
    write_about(known.folder, known.about.model_copy(update=side))
    question.write()
    return question


def test_newer_weights_are_offered_and_followed(lab: Open, finish: Finish, monkeypatch: pytest.MonkeyPatch) -> None:
    run = kept(finish())
    monkeypatch.setattr(comparison, "start", Mock())
    old, new = seen_at(run, 1), seen_at(run, comparison.party(run).stamp)
    page = lab("inspector", case=old.id)
    assert "newer checkpoint than shown" in said(page)
    assert button(page, "Its newest checkpoint").query_params["case"] == new.id
    followed = lab("inspector", case=old.id)
    followed.toggle[0].set_value(True).run()
    assert followed.query_params["case"] == new.id
    assert "learned more" not in said(followed)


def test_what_hinders_the_newer_weights_is_said(lab: Open, finish: Finish, monkeypatch: pytest.MonkeyPatch) -> None:
    run = kept(finish())
    monkeypatch.setattr(comparison, "start", Mock())
    old, new = seen_at(run, 1), seen_at(run, comparison.party(run).stamp)
    tell(new.folder, comparison.FIRST, Progress(state="failed", says="The file is damaged."))
    page = lab("inspector", case=old.id)
    page.toggle[0].set_value(True).run()
    assert "The file is damaged." in said(page)
    assert page.query_params["case"] == old.id


# More steps on a slice


def test_more_steps_are_kept_with_the_case(lab: Open, finish: Finish, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another session finds how far they are, and what came of them."""
    run = kept(finish(data="digits"))
    monkeypatch.setattr(comparison, "start", Mock())
    question = seen_at(run, comparison.party(run).stamp)
    address = {"case": question.id, "section": "slices", "select": "true=1"}
    button(lab("inspector", **address), "Train 200 more steps on this slice")
    training = question.model_copy(update={"where": "train", "rows": MOST_ROWS})
    assert "Train 200 more steps on this slice" not in labels(lab("inspector", **address))
    answered(training.folder)
    lab("inspector", **address)
    (submitted,) = [one for one in run_store.store().runs() if one.id != run.id]
    assert submitted.spec.source.name == "slice"
    assert run_store.store().claim(1, submitted.id)
    run_store.store().append(submitted.id, story(submitted.spec, 0.9))
    after = question.model_copy(update={"student": comparison.party(kept(run_store.store().get(submitted.id)))})
    answered(after.folder, seed=1)
    page = lab("inspector", **address)
    assert len(page.dataframe) == 1
    assert button(page, "Inspect the student afterwards").query_params["case"] == after.id


def test_steps_that_no_training_row_is_meant_by_are_refused(
    lab: Open, finish: Finish, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = kept(finish(data="digits"))
    monkeypatch.setattr(comparison, "start", Mock())
    question = seen_at(run, comparison.party(run).stamp)
    address = {"case": question.id, "section": "slices", "select": "brightness=2.."}
    button(lab("inspector", **address), "Train 200 more steps on this slice")
    training = question.model_copy(update={"where": "train", "rows": MOST_ROWS})
    answered(training.folder)
    page = lab("inspector", **address)
    assert "No training row is in this slice" in said(page)
    assert "Train 200 more steps on this slice" in labels(page)


@pytest.mark.usefixtures("home")
def test_cases_that_nobody_looks_at_are_forgotten() -> None:
    os.utime(random_case(folder_of("case-old")).folder / "about.json", (1, 1))
    os.utime(random_case(folder_of(CASE)).folder / "about.json", (1, 1))
    comparison.case(CASE)
    assert purge(60.0) == ["case-old"]
    assert not folder_of("case-old").exists()
    assert folder_of(CASE).exists()


def test_shares_stand_beside_their_counts(lab: Open) -> None:
    """One error that is repeated is one of one, not "100.0 %"."""
    labels_of = np.array([0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2])
    teacher = labels_of.copy()
    teacher[0] = 1
    eye = 5 * np.eye(3)
    case(folder_of(CASE), labels_of, eye[teacher], eye[teacher])
    told = said(lab("inspector", case=CASE))
    assert "student right **92.9 % (13 of 14)**" in told
    assert "same answer **100.0 % (14 of 14)**" in told
    assert "repeats 1 of 1 teacher errors (50.0 % expected by chance)" in told
    right = said(lab("inspector", case=CASE, select="true=2"))
    assert "**7** of 14 samples · student right **100.0 % (7 of 7)**" in right
    assert "the teacher makes no errors" in right


def test_a_part_of_a_split_is_called_one(lab: Open) -> None:
    seen = random_case(folder_of(CASE))
    write_about(seen.folder, seen.about.model_copy(update={"where": "test", "whole": 10_000}))
    assert "**200** samples (of 10,000 test samples)" in said(lab("inspector", case=CASE))
    write_about(seen.folder, seen.about.model_copy(update={"where": "test", "whole": 200}))
    assert "(of" not in said(lab("inspector", case=CASE)).partition("student right")[0]
