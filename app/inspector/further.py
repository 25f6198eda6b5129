"""More steps on what is selected, and what they did elsewhere: one click, then a run like any other."""

from __future__ import annotations

import math
from functools import partial

import streamlit as st

from app import engine, examining, state
from app.words import percent
from kdcore.cases.case import Case, folder_of, progress
from kdcore.cases.choosing import mask
from kdcore.cases.effect import Effect, effects
from kdcore.cases.question import asked
from kdcore.errors import BadInput
from kdcore.jobs.rows import Run
from kdcore.jobs.states import ACTIVE
from kdcore.lineage import further

STEPS = 200
POLL_S = 1.0


def more(case: Case) -> None:
    """The button while something is selected; afterwards how far the run is, and at its end what came of it."""
    select = state.view().select
    st.subheader("More steps on the slice", anchor=False)
    if case.about.student.run is None or case.about.data is None:
        st.caption("Only a student that is a run here can learn on.")
        return
    if not select:
        st.caption(f"Select a slice, or anything else; then one click lets the student learn {STEPS} more steps on it.")
        return
    name = _named(case, select)
    st.caption(
        f"A run of its own goes on from the student's weights for {STEPS} steps at a tenth of its learning rate. Half "
        "of each batch comes from the training rows that the selection means, the rest from all; what it did to the "
        "other rows is shown beside."
    )
    if not state.recall(name, ""):
        act = partial(_begin, case)
        st.button(f"{STEPS} more steps on this", icon=":material/fitness_center:", on_click=state.attempt, args=(act,))
        return
    if state.recall(f"{name} over", False):
        _follow(case, name, select)  # part of the page again, so that its button draws the whole page anew
    else:
        st.fragment(_follow, run_every=POLL_S)(case, name, select)


def _named(case: Case, select: str) -> str:
    """What the session calls the work on a selection."""
    return f"more {case.id} {select}"


def _begin(case: Case) -> None:
    """Ask both models about the training rows, to know which of them are meant by what is selected by now."""
    question = asked(case.folder)
    name = _named(case, state.view().select)
    state.remember(name, examining.opened(question.model_copy(update={"where": "train", "given": "", "notes": ()})))


def _follow(case: Case, name: str, select: str) -> None:
    try:
        _advance(case, name, select)
    except BadInput as error:
        state.complaints().append(str(error))
        state.remember(name, "")
        st.rerun()


def _advance(case: Case, name: str, select: str) -> None:
    """The next step on the way: training rows, run, answers of the student afterwards."""
    if not _there(rows_of := str(state.recall(name, "")), "looking which training rows are meant"):
        return
    run = _run(case, examining.case(rows_of), name, select)
    if run.state in ACTIVE:
        st.progress(run.step / max(1, run.steps), f"learning: step {run.step} of {run.steps} …")
        return
    if run.state != "done":
        raise BadInput(f"The run ended early: {run.message or run.state}")
    question = asked(case.folder).model_copy(update={"student": examining.party(run)})
    found = examining.opened(question)
    if _there(found, "asking the student again"):
        _tell(case, examining.case(found), select, run)
        if not state.recall(f"{name} over", False):
            state.remember(f"{name} over", True)  # so that nobody looks any more
            st.rerun()


def _there(case_id: str, says: str) -> bool:
    """Whether a case has been measured; while not, how far it is."""
    told = progress(folder_of(case_id), examining.FIRST)
    if told is not None and told.state == "failed":
        raise BadInput(told.says)
    if told is None or told.state != "done":
        st.progress(told.share if told else 0.0, f"{says} …")
        return False
    return True


def _run(case: Case, training: Case, name: str, select: str) -> Run:
    """The run on the slice, submitted once."""
    held = str(state.recall(f"{name} run", ""))
    if held:
        return engine.store().get(held)
    student = engine.find(case.about.student.run)
    assert student
    rows = training.rows.index[mask(training, select)].tolist()
    run = engine.store().submit(further(student.spec, rows, STEPS), state.viewer())
    state.remember(f"{name} run", run.id)
    return run


def _tell(case: Case, after: Case, select: str, run: Run) -> None:
    """What the steps did, there and elsewhere."""
    found = effects(case.rows, after.rows.student, mask(case, select), case.classes)
    st.dataframe([_line(one) for one in found], hide_index=True, width="stretch")
    st.caption(
        "On the rows of this comparison, none of which it was trained on unless they are training rows. Where gained "
        "and lost are about equal, the difference is chance."
    )
    st.button(
        "Inspect the student afterwards",
        icon=":material/troubleshoot:",
        on_click=state.attempt,
        args=(partial(_inspect, run, after),),
    )


def _inspect(run: Run, after: Case) -> None:
    state.put("student", run.id)
    state.show(after.id)


def _line(one: Effect) -> dict[str, object]:
    line: dict[str, object] = {"rows": one.name, "how many": one.rows, "right before": percent(one.before),
            "right after": percent(one.after), "gained": one.gained, "lost": one.lost}  # fmt: skip
    if not math.isnan(one.agreed_before):
        line |= {"agreed before": percent(one.agreed_before), "agreed after": percent(one.agreed_after)}
    return line
