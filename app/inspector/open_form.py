"""Which two models are looked at, on which rows: runs, files that are uploaded, or nothing but their answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import streamlit as st

from app import run_store, state
from app.forms import service_form
from app.helpers import comparison
from app.links import inspector
from app.links.inspector import PARTIES, brought
from app.text import phrases
from app.text.consent import OTHERS
from app.text.phrases import paid
from kdcore.comparison import uploaded_logits
from kdcore.comparison.case import folder_of, progress
from kdcore.comparison.question import ROWS, SENDS, Question
from kdcore.errors import BadInput
from kdcore.events import Started
from kdcore.jobs.rows import Run
from kdcore.runs.bill import dollars
from kdcore.runs.record import stamp_of
from kdcore.spec.catalogue import catalogue, check_knobs, entry
from kdcore.spec.spec import Choice

OWN = ""  # the teacher that the student learned from, and its data
WHERE = {"val": "validation samples", "test": "test samples", "train": "training samples"}
MOST = 200  # runs to choose from
ANSWERS = "answers file"  # the widget
KNOWN = "The rows open beside the teacher where it has answered all of them, and without it elsewhere."
CONSENT = "rows may be sent"  # the box; it is in no link, since a link is no consent


def form(case_id: str | None) -> None:
    """Choosing the models; folded away once a case is open, unless one of them could not be asked."""
    label = _named(case_id) if case_id else "Open two models"
    told = progress(folder_of(case_id), comparison.FIRST) if case_id else None
    folded = case_id is not None and not (told and told.state == "failed")
    with st.expander(label, expanded=not folded, icon=":material/compare:", key=f"opening {folded}"):
        runs = {run.id: run for run in run_store.store().runs() if stamp_of(run.folder)}
        if not runs:
            st.info("No run has saved weights yet. Start one in the Lab, or upload files.")
        names = phrases.labels(list(runs.values()))
        left, right = st.columns(2)
        with left:
            _party("student", [*list(runs)[:MOST], *brought()], names)
        with right:
            _party("teacher", [OWN, *list(runs)[:MOST], *brought()], names)
        if inspector.with_files(state.shown().settings) or not runs or state.shown().settings["data"]:
            _choice("data", "Data set", [OWN, *catalogue()["data"]], _of_data)
        _choice("where", "On which rows", list(WHERE), WHERE.__getitem__)
        if state.shown().settings["where"] == "test":
            st.caption("Decisions based on test samples make the test accuracy look better than it is.")
        _consent(runs)
        st.button("Open", type="primary", icon=":material/troubleshoot:", on_click=state.attempt, args=(_open,))
        _answers()


def _party(part: str, options: list[str], names: dict[str, str]) -> None:
    """A run, or a file with what must be told of it."""
    own = "none" if state.shown().settings["student"] in brought() else "its own teacher"
    _choice(part, part.capitalize(), options, partial(_told, names, own))
    if state.shown().settings[part] in brought():
        with st.container(border=True, key=f"file {part}"):
            service_form.pieces(part, state.shown().settings)


def _consent(runs: Mapping[str, Run]) -> None:
    """Whether a remote teacher may be sent the rows, where one would be asked; what that costs at most."""
    run = runs.get(str(state.shown().settings["student"] or next(iter(runs), "")))
    if run is None or state.shown().settings["teacher"] != OWN or not run.spec.remote or run.spec.wall is None:
        return
    if not state.owns(run):
        st.caption(f"{OTHERS} {KNOWN}")
        return
    began = next((one.event for one in run_store.store().events(run.id, limit=1)), None)
    split = began.rows.get(str(state.shown().settings["where"]), ROWS) if isinstance(began, Started) else ROWS
    limit = comparison.spare_of(run)
    if limit and not limit.left:
        used = f"The run's budget of {limit.budget:,} images is used up, so nothing more is sent."
        st.caption(f"{used if limit.over else phrases.verbatim(limit.says)} {KNOWN}")
        return
    rows = min(split, ROWS, limit.left if limit else split)
    if limit and not limit.over:
        st.caption(phrases.verbatim(limit.says))
    most = f"At most {paid(rows, dollars(rows, run.spec.wall.price), run.spec.wall.price)}."
    if run.spec.wall.measure == "real":
        st.caption(f"This run may be sent real images for measuring, so rows without an answer are sent. {most}")
        return
    st.checkbox(SENDS, key=CONSENT)
    st.caption(
        f"Rows that the run has an answer to are known. Without consent the others are not sent. {most} What is asked "
        "later of single images counts as well."
    )


def _answers() -> None:
    """A file of answers opens without any model."""
    st.file_uploader(
        "Or open logits only (.npz)",
        type=["npz"],
        key=ANSWERS,
        on_change=state.attempt,
        args=(_open_answers,),
        help="numpy.savez(file, student_logits=..., teacher_logits=..., labels=...): rows times classes, and a whole "
        "number a row, -1 where unknown; student_probabilities and teacher_probabilities may stand in their "
        "place. It may also hold classes "
        "(names), images, and further columns of numbers. "
        f"At most {uploaded_logits.LIMIT_BYTES >> 30} GB unpacked; nothing in it is ever unpickled.",
    )


def _open_answers() -> None:
    file = state.component(ANSWERS)
    if file is not None:
        state.compare(uploaded_logits.open_file(file.getvalue(), file.name))


def _named(case_id: str) -> str:
    try:
        about = comparison.case(case_id).about
    except BadInput:
        return "Open two models"
    beside = f" · beside {about.teacher.title}" if about.teacher else ""
    return f"{about.student.title}{beside} · {WHERE.get(about.where, 'given rows')}"


def _told(names: dict[str, str], own: str, name: str) -> str:
    return own if name == OWN else names.get(name) or brought().get(name, name)


def _of_data(name: str) -> str:
    return str(entry("data", name)["title"]) if name else "what the run learned from"


def _choice(key: str, label: str, options: list[str], told: Callable[[str], str]) -> None:
    held = str(state.shown().settings[key])
    known = options if held in options else [held, *options] if held else options
    name = state.widget(key, held if held in known else known[0])
    st.selectbox(label, known, format_func=told, key=name, on_change=state.picked, args=(key, known))


def question() -> Question:
    """What the form asks.

    Raises:
        BadInput: there is no such run, a file is missing, nobody says on which data, or the form shows what it does
            not hold.
    """
    if unread := state.unread():
        raise BadInput(unread[0])
    settings = state.shown().settings
    sides = [inspector.file_of(settings, part) or run_store.find(str(settings[part]) or None) for part in PARTIES]
    if sides[0] is None:
        raise BadInput("No student chosen; choose a run, or upload a file.")
    data = str(settings["data"])
    choice = Choice(name=data, knobs=check_knobs("data", data, {})) if data else None
    sends = bool(state.component(CONSENT))
    return comparison.question(sides[0], sides[1], settings["where"], choice, sends)  # type: ignore[arg-type]


def _open() -> None:
    if not state.shown().settings["student"]:  # nobody chose another than the first
        state.put("student", str(state.component("form student")))
    state.compare(comparison.opened(question()))


def invitation() -> None:
    """What the page is for, until two models are open."""
    st.markdown(
        "Choose a student: it is asked about every row beside its teacher. Then see **where** they disagree, **why**, "
        "and what helps: more steps, more capacity, better labels, a temperature."
    )
    if example := run_store.newest_demo(makes=False, images=True):
        act = partial(state.inspect, example.id)
        st.button("Open an example", icon=":material/auto_stories:", on_click=state.attempt, args=(act,))
