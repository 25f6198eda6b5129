"""The Lab page: what a person sees and what follows from what they do."""

from __future__ import annotations

from pathlib import Path

import pytest
import streamlit as st
from lab_driver import ME, Finish, Open, button, components, labels, said, story, unfold
from streamlit.testing.v1 import AppTest

from app import run_store, state
from app.live import ownership
from kdcore.events import Changed
from kdcore.jobs.rows import TERMINAL, Run
from kdcore.jobs.store import Store
from kdcore.jobs.tables import sealed
from kdcore.spec.catalogue import entry
from kdcore.spec.lineage import recommended
from kdcore.spec.registry import DATA, METHODS


def test_an_empty_store_invites(lab: Open) -> None:
    page = lab()
    assert not page.exception
    assert "Train a small network to imitate a large one" in said(page)
    assert labels(page).count("Run") == 2
    assert components(page) == 0
    assert page.query_params == {}


def test_a_recorded_run_plays_on_the_first_screen(lab: Open, finish: Finish) -> None:
    finish(owner=run_store.DEMO)
    page = lab()
    assert not page.exception
    assert "A recorded run is playing: Knowledge distillation · Moons" in said(page)
    assert "Knowledge distillation · Moons" in said(page)
    assert components(page) == 2
    assert page.query_params == {}


@pytest.mark.parametrize(("view", "form"), [("lab", "app.forms.choices.pick"), ("blackbox", "app.forms.fields.field")])
def test_a_run_waits_for_no_form(
    lab: Open, finish: Finish, monkeypatch: pytest.MonkeyPatch, view: str, form: str
) -> None:
    run = finish()
    monkeypatch.setattr(form, lambda *_, **__: st.stop())
    page = lab(view, run=run.id)
    assert not page.exception
    assert components(page) == (2 if view == "lab" else 3)


def test_run_starts_what_the_form_says_and_the_link_carries_it(lab: Open, store: Store) -> None:
    page = button(lab(data="moons", seed="3"), "Run")
    (run,) = store.runs()
    assert run.spec == recommended("moons", seed=3)
    assert (run.owner, run.state) == (sealed(ME), "queued")
    assert page.query_params == {"data": "moons", "seed": "3", "run": run.id}
    assert components(page) == 2


def test_the_same_settings_are_the_same_run(lab: Open, store: Store, finish: Finish) -> None:
    run = finish()
    page = button(lab(data="moons"), "Run")
    assert page.query_params["run"] == run.id
    assert len(store.runs()) == 1
    assert "This run was already done" in said(page)


def test_a_setting_goes_into_the_link_and_back_out(lab: Open) -> None:
    page = lab()
    next(item for item in page.number_input if item.label == "Training temperature T").set_value(7.5).run()
    assert page.query_params == {"method.temperature": "7.5"}
    assert any(item.label == "Training temperature T · changed" for item in page.number_input)
    button(page, "Reset to defaults")
    assert page.query_params == {}


def test_walking_back_to_a_link_restores_it(lab: Open) -> None:
    page = lab(seed="3")
    page.query_params = {"seed": "9", "temperature": "2.0"}
    page.run()
    assert next(item for item in page.number_input if item.key == "form seed").value == 9


def test_walking_back_and_forth_at_once_restores_it_too(lab: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    page = lab(seed="6")
    page.query_params = {"seed": "5"}
    with monkeypatch.context() as broken_off:
        broken_off.setattr(state, "save", lambda: None)
        page.run()
    page.query_params = {"seed": "6"}
    page.run()
    assert next(item for item in page.number_input if item.key == "form seed").value == 6
    assert page.query_params == {"seed": "6"}


def test_another_data_set_brings_its_recommendation(lab: Open) -> None:
    page = lab(seed="3", **{"student.width": "64"})
    next(item for item in page.selectbox if item.label == "Data").set_value("moons").run()
    assert page.query_params == {"data": "moons", "seed": "3"}


@pytest.mark.parametrize("data", DATA)
def test_every_data_set_has_a_form(lab: Open, data: str) -> None:
    page = lab(data=data)
    assert not page.exception
    assert not page.error
    assert next(item for item in page.selectbox if item.label == "Data").value == data


@pytest.mark.parametrize("method", METHODS)
def test_every_method_has_a_form(lab: Open, method: str) -> None:
    page = lab(method=method)
    assert not page.exception
    assert not page.warning
    assert entry("method", method)["equation"] in said(unfold(page, "equation"))


def test_a_method_says_why_it_cannot_run(lab: Open, store: Store) -> None:
    page = lab(method="fitnet", access="labels")
    assert "needs the teacher's" in said(page)
    method = next(item for item in page.selectbox if item.label == "Method")
    assert any("needs the teacher's features" in option for option in method.options)
    assert all(item.disabled for item in page.button if item.label == "Run")
    assert store.runs() == []


def test_a_network_that_cannot_read_the_data_is_named(lab: Open) -> None:
    page = lab(data="moons", student="resnet")
    assert "does not accept inputs of shape 2; these do: MLP." in said(page)
    assert all(item.disabled for item in page.button if item.label == "Run")


def test_sizes_stand_beside_the_networks(lab: Open) -> None:
    told = said(lab(data="moons"))
    assert "42 parameters · 32 multiply-adds per input · 168 B on disk" in told
    assert "times the student's parameters" in told


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ({"run": "nothere234"}, "There is no run named 'nothere234'"),
        ({"method": "kdd"}, "Did you mean 'kd'?"),
        ({"seed": "many"}, "valid integer, but got 'many'"),
        ({"form": "0123456789abcdef"}, "keeps no settings"),
    ],
)
def test_a_broken_link_is_one_sentence(lab: Open, query: dict[str, str], sentence: str) -> None:
    page = lab(**query)
    assert not page.exception
    assert sentence in said(page)
    assert page.query_params == {}


def test_a_finished_run_of_mine(lab: Open, finish: Finish) -> None:
    page = lab(run=finish(accuracy=0.9).id)
    assert "The student is correct on 90.0 % of 5 test samples, 5.0 points below its teacher (95.0 %)." in said(page)
    assert {"Another seed", "Delete"} <= set(labels(page))
    assert not {"Resume", "Load these settings"} & set(labels(page))  # the form holds them already


def test_a_strangers_run_can_be_seen_but_not_touched(lab: Open, finish: Finish) -> None:
    page = lab(run=finish(owner="somebody").id)
    assert "Read-only: this run belongs to another user" in said(page)
    assert not {"Delete", "Resume"} & set(labels(page))
    assert components(page) == 2


def test_another_seed_is_a_new_run(lab: Open, store: Store, finish: Finish) -> None:
    page = button(lab(run=finish(owner="somebody", seed=4).id), "Another seed")
    new = store.get(page.query_params["run"])
    assert (new.owner, new.spec) == (sealed(ME), recommended("moons", seed=5))


def test_fork_puts_the_settings_into_the_form(lab: Open, finish: Finish) -> None:
    run = finish(method="dkd", seed=8)
    page = button(lab(run=run.id, seed="1"), "Load these settings")
    assert page.query_params == {"data": "moons", "method": "dkd", "seed": "8", "run": run.id}
    assert not page.warning


def test_a_run_changed_by_hand_says_so_everywhere(lab: Open, store: Store, finish: Finish) -> None:
    """In its title, in the command under Share, in the form it is loaded into, on the Runs page and beside its twin."""
    plain, run = finish(), store.submit(recommended("moons"), "me", fresh=True)
    store.claim(1, run.id)
    first, *rest = story(run.spec, 0.8)
    store.append(run.id, [first, Changed(step=0, path="method.temperature", old=4.0, new=8.0), *rest])
    mark = "changed at step 0: temperature 4 → 8"
    page = lab(run=run.id)
    assert page.subheader[0].value.endswith(f" · {mark}")
    assert any(code.value == "kdlab run --data moons --change 0:method.temperature=8.0" for code in page.code)
    assert "differs in what was changed during training" in said(page)
    edited = lab(run=run.id, seed="1")
    assert "does not include changes made" in said(button(edited, "Load these settings"))
    runs = lab("runs", compare=f"{plain.id},{run.id}")
    assert mark in runs.dataframe[0].value["run"][0]
    assert list(runs.table[0].value.set_index("setting").loc["changed during training"]) == [
        "at step 0: temperature 4 → 8",
        "—",
    ]
    assert store.submit(recommended("moons"), "me").id == plain.id


def test_a_stopped_run_says_where_it_ended_and_what_its_command_does(lab: Open, store: Store) -> None:
    run = store.submit(recommended("moons"), ME)
    store.claim(1, run.id)
    store.append(run.id, story(run.spec, 0.8)[:2])
    store.move(run.id, "cancelled", message="Stopped.")
    page, ended = lab(run=run.id), store.get(run.id)
    mark = f"stopped at step {ended.step:,} of {ended.steps:,}"
    assert page.subheader[0].value.endswith(f" · {mark}")
    assert f"This run was {mark}; from the command line, these settings run all {ended.steps:,} steps:" in said(page)
    assert mark in lab("runs").dataframe[0].value["run"][0]


def test_delete_can_be_undone(lab: Open, store: Store, finish: Finish) -> None:
    run = finish()
    page = button(lab(run=run.id), "Delete")
    assert store.runs() == []
    assert page.query_params == {"data": "moons"}
    page = button(page, "Undo")
    assert [found.id for found in store.runs()] == [run.id]
    assert page.query_params == {"data": "moons", "run": run.id}


def test_an_interrupted_run_goes_on(lab: Open, store: Store) -> None:
    run = lost(store)
    page = button(lab(run=run.id), "Resume")
    assert store.get(run.id).state == "queued"
    assert not page.exception


@pytest.mark.parametrize(("policy", "mine"), [("always", True), ("never", False)])
def test_a_run_of_the_terminal_goes_on_where_it_is_mine(
    lab: Open, store: Store, monkeypatch: pytest.MonkeyPatch, policy: str, mine: bool
) -> None:
    monkeypatch.setenv(ownership.POLICY, policy)
    run = lost(store, TERMINAL)
    page = lab(run=run.id)
    assert ("Resume" in labels(page), "belongs to another user" in said(page)) == (mine, not mine)
    assert list(lab("runs").dataframe[0].value["whose"]) == ["mine" if mine else "another user"]
    if mine:
        button(page, "Resume")
        assert (store.get(run.id).state, store.get(run.id).owner) == ("queued", TERMINAL)


def lost(store: Store, owner: str = ME) -> Run:
    """A run whose worker is gone."""
    run = store.submit(recommended("moons"), owner)
    store.claim(1, run.id)
    store.move(run.id, "lost", message="Its worker is gone.")
    return store.get(run.id)


def test_a_shape_becomes_the_points(lab: Open) -> None:
    page = button(lab(data="points"), "Waves")
    assert page.query_params.keys() == {"form"}
    again = lab(**page.query_params)
    assert not again.warning
    page = button(again, "Empty")
    assert "Draw at least two classes with at least 6 points each." in said(page)
    assert all(item.disabled for item in page.button if item.label == "Run")


@pytest.mark.parametrize("view", ["lab", "runs"])
def test_a_damaged_database_is_one_sentence(view: str, home: Path) -> None:
    (home / "runs.db").write_bytes(b"this is no database" * 400)
    run_store.store.cache_clear()
    page = AppTest.from_file(str(Path(run_store.__file__).parent / "main.py"), default_timeout=60).run()
    if view != "lab":
        page = page.switch_page(f"views/{view}.py").run()
    assert not page.exception
    (error,) = page.error
    assert "runs.db" in error.value
    run_store.store.cache_clear()


def test_a_page_whose_first_run_was_broken_off_reads_its_link_again(lab: Open) -> None:
    page = lab(seed="3")
    del page.session_state["known of lab"]  # what a click does that comes before the page has ended
    page.run()
    assert not page.exception
    assert page.query_params["seed"] == "3"
