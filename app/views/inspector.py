"""The Inspector: two models on the same rows; where they disagree, why, and how sure they are."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from pathlib import Path

import streamlit as st

from app import state
from app.components import run_view
from app.helpers import comparison
from app.inspector import follow_training, open_form, selection_bar
from app.inspector._cards import bar
from app.links import inspector
from app.links.inspector import Section
from app.panels import View
from app.text import consent
from app.text.phrases import verbatim
from kdcore.comparison.case import Case, Progress, folder_of, progress
from kdcore.comparison.gallery import foremost
from kdcore.errors import BadInput

SECTIONS: dict[Section, str] = {
    "where": "Where",
    "sample": "Sample",
    "why": "Why",
    "slices": "Slices",
    "boundary": "Boundary",
    "calibration": "Calibration",
    "inside": "Inside",
    "draw": "Draw and bring",
}


def body() -> None:
    """Draw the whole page."""
    st.header("Why does the student disagree?", anchor=False)
    for sentence in state.complaints():
        st.warning(verbatim(sentence))
    case_id = _case()
    open_form.form(case_id)
    if case_id is None:
        open_form.invitation()
        return
    folder = folder_of(case_id)
    begun = comparison.under_way(folder, comparison.FIRST)  # first: it says that it is done before it ceases to be so
    told = progress(folder, comparison.FIRST)
    if told is not None and told.state != "done":
        _wait(folder, told, begun)
        return
    _sections(comparison.case(case_id))


def _case() -> str | None:
    """Return the case on show: the link's, or that of the runs it names, which is opened at once."""
    shown = state.shown()
    named = str(shown.settings["student"])
    if shown.run or not named or inspector.with_files(shown.settings):
        return shown.run
    try:
        found = comparison.opened(open_form.question())
    except BadInput as error:
        st.warning(verbatim(error))
        return None
    state.show(found)
    return found


def _wait(folder: Path, told: Progress, begun: bool) -> None:
    """How far the first task is; what another process left undone is begun again."""
    again = partial(comparison.again, folder)
    if told.state == "failed":
        st.error(verbatim(told.says))
        st.button("Try again", icon=":material/replay:", on_click=state.attempt, args=(again,))
        return
    if not begun:
        state.attempt(again)
    bar(folder, comparison.FIRST)


def _pin_first(case: Case) -> None:
    """Pin the sharpest disagreement when a case comes on show and its link pins nothing else."""
    if state.recall("inspected", "") != case.id:
        state.remember("inspected", case.id)
        if state.view().sample == View().sample:
            state.look(sample=int(foremost(case.rows, None)[0]))


def _sections(case: Case) -> None:
    _pin_first(case)
    for note in case.about.notes:
        st.info(verbatim(note))
    follow_training.offer(case)
    names = list(SECTIONS)
    key = state.widget("section", state.shown().settings["section"])
    st.segmented_control(
        "Section", names, format_func=lambda name: SECTIONS[name], required=True, key=key,
        on_change=state.changed, args=("section", str), label_visibility="collapsed", width="stretch",
    )  # fmt: skip
    if told := comparison.sent(case):
        st.caption(told)
    if comparison.walled(case):
        st.checkbox(consent.ASKED, key=run_view.CONSENT, help=consent.HELP)
    selection_bar.bar(case)
    section = str(state.shown().settings["section"])
    import_module(f"app.inspector.section_{section}").show(case)


state.arrive(state.INSPECTOR)
body()
state.save()
