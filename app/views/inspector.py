"""The Inspector: two models on the same rows; where they disagree, why, and how sure they are."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from pathlib import Path

import streamlit as st

from app import case_link, consent, examining, showing, state
from app.case_link import Section
from app.inspector import choosing, following, opening
from app.inspector._cards import bar
from app.panels import View
from app.words import verbatim
from kdcore.cases.case import Case, Progress, folder_of, progress
from kdcore.cases.gallery import foremost
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
    """The whole page."""
    st.header("Why does the student disagree?", anchor=False)
    for sentence in state.complaints():
        st.warning(verbatim(sentence))
    case_id = _case()
    opening.form(case_id)
    if case_id is None:
        opening.invitation()
        return
    folder = folder_of(case_id)
    begun = examining.under_way(folder, examining.FIRST)  # first: it says that it is done before it ceases to be so
    told = progress(folder, examining.FIRST)
    if told is not None and told.state != "done":
        _wait(folder, told, begun)
        return
    _sections(examining.case(case_id))


def _case() -> str | None:
    """The case on show: the link's, or that of the runs it names, which is opened at once."""
    shown = state.shown()
    named = str(shown.settings["student"])
    if shown.run or not named or case_link.with_files(shown.settings):
        return shown.run
    try:
        found = examining.opened(opening.question())
    except BadInput as error:
        st.warning(verbatim(error))
        return None
    state.show(found)
    return found


def _wait(folder: Path, told: Progress, begun: bool) -> None:
    """How far the first task is; what another process left undone is begun again."""
    again = partial(examining.again, folder)
    if told.state == "failed":
        st.error(verbatim(told.says))
        st.button("Try again", icon=":material/replay:", on_click=state.attempt, args=(again,))
        return
    if not begun:
        state.attempt(again)
    bar(folder, examining.FIRST)


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
    following.offer(case)
    names = list(SECTIONS)
    key = state.widget("section", state.shown().settings["section"])
    st.segmented_control(
        "Section", names, format_func=lambda name: SECTIONS[name], required=True, key=key,
        on_change=state.changed, args=("section", str), label_visibility="collapsed", width="stretch",
    )  # fmt: skip
    if told := examining.sent(case):
        st.caption(told)
    if examining.walled(case):
        st.checkbox(consent.ASKED, key=showing.CONSENT, help=consent.HELP)
    choosing.bar(case)
    section = str(state.shown().settings["section"])
    import_module(f"app.inspector.{section}").show(case)


state.arrive(state.INSPECTOR)
body()
state.save()
