"""Clicks inside a fragment reach the whole page: no AppTest sees whether they do, as it reruns everything."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import streamlit as st

from app import run_store, state
from app.components import run_view
from app.links import lab
from kdcore.errors import BadInput
from kdcore.events import Asked, Meter
from kdcore.jobs.rows import Run
from kdcore.jobs.store import Store
from kdcore.spec.lineage import recommended
from kdcore.spec.spec import Change

APP = Path(state.__file__).parent


class Redrawn(Exception):
    """What stands for Streamlit's rerun of the whole page."""


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The session of a Lab that has just been drawn whole."""
    held: dict[str, Any] = {"page": state.LAB, "link of lab": lab.Link(lab.complete({}))}
    monkeypatch.setattr(state, "_state", held)
    monkeypatch.setattr(st, "fragment", lambda body, run_every: body)  # noqa: ARG005
    monkeypatch.setattr(st, "rerun", _redrawn)
    return held


def _redrawn() -> None:
    raise Redrawn


def _refuse() -> None:
    raise BadInput("No.")


OUTSIDE: dict[str, Callable[[], Any]] = {
    "attempt": lambda: state.attempt(lambda: None),
    "a refusal": lambda: state.attempt(_refuse),
    "complain": lambda: state.complain("No."),
    "show": lambda: state.show("abc"),
    "take": lambda: state.take(lab.complete({"data": "moons"})),
    "put": lambda: state.put("seed", 3),
    "look": lambda: state.look(sample=3),
    "pin": lambda: state.pin(3),
    "remember": lambda: state.remember("deleted", ["abc"]),
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_what_changes_the_page_in_a_fragment_draws_the_page_anew(page: dict[str, Any], name: str) -> None:
    drawn: list[int] = []
    run = state.fragment(lambda: drawn.append(1))
    run()
    run()
    assert len(drawn) == 2  # nothing has changed outside: the fragment alone
    OUTSIDE[name]()
    with pytest.raises(Redrawn):
        run()
    assert len(drawn) == 2
    page["stale"] = False  # as a page that begins does
    run()
    assert len(drawn) == 3


def test_what_only_the_fragment_shows_leaves_the_page_be(page: dict[str, Any]) -> None:  # noqa: ARG001
    drawn: list[int] = []
    run = state.fragment(lambda: drawn.append(1))
    run()
    state.remember("drawn", [1], local=True)
    run()
    assert len(drawn) == 2


def test_a_page_that_changes_itself_while_it_is_drawn_is_not_drawn_for_ever(page: dict[str, Any]) -> None:  # noqa: ARG001
    state.look(sample=3)  # before its fragments, in the run that draws the page
    drawn: list[int] = []
    state.fragment(lambda: drawn.append(1))()
    assert drawn


def test_pages_make_fragments_in_one_way_alone() -> None:
    found = [path for path in APP.rglob("*.py") if re.search(r"\bst\.(fragment|dialog)\b", path.read_text())]
    assert [path.name for path in found] == ["state.py"]


def test_a_run_that_is_gone_meanwhile_draws_the_page_anew(
    page: dict[str, Any],  # noqa: ARG001
    home: Path,  # noqa: ARG001
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = Store()
    monkeypatch.setattr(run_store, "store", lambda: store)
    run = store.submit(recommended("moons"), "me")
    store.delete(run.id, "me")
    assert store.purge(-1.0) == [run.id]
    assert run_view._outdated(run.id, ("cancelled", run.hash, 0), True, [], lambda _: None)
    with pytest.raises(Redrawn):
        run_view._aftermath(run.id, ("cancelled", run.hash, 0), True, [], lambda _: None)


def test_a_page_is_not_drawn_twice_as_its_run_begins_meanwhile(
    page: dict[str, Any],  # noqa: ARG001
    home: Path,  # noqa: ARG001
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A warm worker takes a run before the page that queued it is drawn to its end."""
    store = Store()
    monkeypatch.setattr(run_store, "store", lambda: store)
    queued = store.submit(recommended("moons"), "me")
    names = run_view.suited(queued)
    drawn: list[int] = []
    ending = state.fragment(lambda *_: drawn.append(1), 1.0, run_view._outdated)
    store.claim(1, queued.id)
    asked = queued.id, run_view._moment(queued), True, names, lambda _: None
    ending(*asked)
    with pytest.raises(Redrawn):
        ending(*asked)
    assert drawn == [1]  # by the page; the rerun of the fragment alone has it drawn anew


def test_a_planned_change_that_happens_draws_the_page_anew_with_its_value(
    page: dict[str, Any],  # noqa: ARG001
    home: Path,  # noqa: ARG001
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = Store()
    monkeypatch.setattr(run_store, "store", lambda: store)
    planned = Change(step=592, path="schedule.lr", value=0.001)
    run = store.submit(recommended("moons").model_copy(update={"changes": (planned,)}), "me")
    assert store.claim(1, run.id)
    before, now = (_standing(store, run.id, step) for step in (591, 592))
    names = run_view.suited(now)
    drawn: list[int] = []
    ending = state.fragment(lambda *_: drawn.append(1), 1.0, run_view._outdated)
    asked = run.id, run_view._moment(before), True, names, lambda _: None
    ending(*asked)
    with pytest.raises(Redrawn):
        ending(*asked)
    shown = [{one["path"]: one["value"] for one in run_view._knobs(at, mine=True)} for at in (before, now)]
    assert [one["schedule.lr"] for one in shown] == [run.spec.schedule.lr, 0.001]
    state.fragment(lambda *_: drawn.append(1), 1.0, run_view._outdated)(run.id, run_view._moment(now), *asked[2:])
    assert run_view._outdated(run.id, run_view._moment(now), *asked[2:]) is False


def _standing(store: Store, run_id: str, step: int) -> Run:
    """The run once it has come to a step."""
    store.append(run_id, [Asked(step=step, meter=Meter())])
    return store.get(run_id)
