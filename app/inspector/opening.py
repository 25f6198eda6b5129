"""Which two models are looked at, on which rows."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import streamlit as st

from app import engine, examining, state, words
from kdcore.errors import BadInput
from kdcore.jobs.rows import Run
from kdcore.record import stamp_of

OWN = ""  # the teacher that the student learned from
WHERE = {"val": "validation rows", "test": "test rows", "train": "training rows"}
MOST = 200  # runs to choose from


def form(case_id: str | None) -> None:
    """Choosing the models; folded away once a case is open."""
    label = _named(case_id) if case_id else "Open two models"
    with st.expander(label, expanded=case_id is None, icon=":material/compare:", key=f"opening {bool(case_id)}"):
        runs = {run.id: run for run in engine.store().runs() if stamp_of(run.folder)}
        if not runs:
            st.info("No run has kept weights yet. Start one in the Lab, then come back.")
            return
        _choice("student", "Student", list(runs)[:MOST], partial(_told, runs))
        _choice("teacher", "Teacher", [OWN, *list(runs)[:MOST]], partial(_told, runs))
        _choice("where", "On which rows", list(WHERE), WHERE.__getitem__)
        if state.shown().settings["where"] == "test":
            st.caption("Decisions that are made by looking at test rows make the test accuracy look better than it is.")
        st.button("Open", type="primary", icon=":material/troubleshoot:", on_click=state.attempt, args=(_open,))


def _named(case_id: str) -> str:
    try:
        about = examining.case(case_id).about
    except BadInput:
        return "Open two models"
    beside = f" · beside {about.teacher.title}" if about.teacher else ""
    return f"{about.student.title}{beside} · {WHERE.get(about.where, 'given rows')}"


def _told(runs: dict[str, Run], run_id: str) -> str:
    if run_id == OWN:
        return "the one that it learned from"
    run = runs.get(run_id)
    return f"{words.title(run.spec)} · seed {run.spec.seed} · {run_id[:4]}" if run else run_id


def _choice(key: str, label: str, options: list[str], told: Callable[[str], str]) -> None:
    held = str(state.shown().settings[key])
    known = options if held in options else [held, *options] if held else options
    name = state.widget(key, held if held in known else known[0])
    st.selectbox(label, known, format_func=told, key=name, on_change=state.changed, args=(key, str))


def _open() -> None:
    settings = state.shown().settings
    chosen = str(settings["student"]) or str(state.component("form student"))
    student, teacher = engine.find(chosen), engine.find(str(settings["teacher"]) or None)
    assert student
    state.put("student", chosen)
    state.show(examining.opened(examining.question(student, teacher, settings["where"])))  # type: ignore[arg-type]
    state.look(select="", sample=0, beside=None)


def invitation() -> None:
    """What the page is for, until two models are open."""
    st.markdown(
        "Choose a student: it is asked about every row beside its teacher. Then see **where** they disagree, **why**, "
        "and what helps: more steps, more capacity, better labels, a temperature."
    )
    if example := engine.newest_demo(makes=False, images=True):
        act = partial(state.inspect, example.id)
        st.button("Open an example", icon=":material/auto_stories:", on_click=state.attempt, args=(act,))
