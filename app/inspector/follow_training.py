"""A student that learns on while it is looked at: its newest weights are asked about the same rows, when wished."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import streamlit as st

from app import run_store, state
from app.helpers import comparison
from app.panels.cases.plane import wanted
from app.text.phrases import verbatim
from kdcore.comparison.case import Case, folder_of, progress
from kdcore.comparison.question import asked
from kdcore.errors import BadInput
from kdcore.jobs.rows import Run
from kdcore.jobs.states import ACTIVE
from kdcore.runs.record import stamp_of

POLL_S = 1.0


def offer(case: Case) -> None:
    """Where the student's run has gone on since the case was opened, or still does: to follow it."""
    try:
        run = run_store.find(case.about.student.run)
    except BadInput:  # it was deleted; its answers are still here
        return
    if run and (run.state in ACTIVE or _newer(case, run)):
        state.fragment(_look, run_every=POLL_S)(case, run.id)


def _newer(case: Case, run: Run) -> bool:
    """Whether the run has kept weights that this case does not know."""
    return stamp_of(run.folder) != asked(case.folder).student.stamp


def _look(case: Case, run_id: str) -> None:
    run = run_store.known(run_id)
    if run is None:
        st.rerun()
    with st.container(horizontal=True, vertical_alignment="center"):
        if run.state in ACTIVE:
            st.caption(f"The student is learning: step {run.step:,} of {run.steps:,}.")
        else:
            st.caption("The student has a newer checkpoint than shown.")
        follow = st.toggle(
            "Follow it", key=f"follow {run_id}", help="Evaluate both models again at each of its checkpoints."
        )
        if not _newer(case, run):
            return
        act = partial(_go_on, case, run)
        if not follow:
            st.button("Its newest checkpoint", icon=":material/update:", on_click=state.attempt, args=(act,))
            return
    try:
        found = comparison.opened(comparison.anew(case, run))
        if _ready(folder_of(found)):
            state.show(found)
            st.rerun()
    except BadInput as error:
        st.warning(verbatim(error))


def _go_on(case: Case, run: Run) -> None:
    """Put the newest weights on show, whether they were asked already or not."""
    state.show(comparison.opened(comparison.anew(case, run)))


def _ready(folder: Path) -> bool:
    """Whether a case may take the place of the one before: what the page shows of it is there.

    Raises:
        BadInput: one of the models cannot be asked.
    """
    if not _done(folder, comparison.FIRST):
        return False
    if state.shown().settings["section"] != "boundary":
        return True
    if progress(folder, "plane") is None:
        comparison.later(folder, "plane", **wanted(state.view())._asdict())
    return _done(folder, "plane")


def _done(folder: Path, task: str) -> bool:
    told = progress(folder, task)
    if told is not None and told.state == "failed":
        raise BadInput(told.says)
    return told is not None and told.state == "done"
