"""More steps on what is selected, and what they did elsewhere: one click, then a run like any other."""

from __future__ import annotations

import hashlib
import math
from functools import partial
from pathlib import Path

import streamlit as st
from pydantic import BaseModel

from app import run_store, state
from app.components.remote_consent import confirmation, start_button
from app.helpers import comparison
from app.text.phrases import percent, verbatim
from kdcore.atomic import write_text
from kdcore.comparison.case import Case, folder_of, progress
from kdcore.comparison.question import MOST_ROWS, asked
from kdcore.comparison.selection import mask
from kdcore.comparison.training_effect import Effect, effects
from kdcore.errors import BadInput
from kdcore.jobs.rows import Run
from kdcore.jobs.states import ACTIVE, WORDS
from kdcore.spec.lineage import further
from kdcore.spec.spec import Spec

STEPS = 200
POLL_S = 1.0
LEVEL = 0.05  # rate of false discoveries among the differences that are told


class Work(BaseModel):
    """What was begun on a selection; kept beside the case, so that whoever looks at it finds it."""

    training: str  # the case of the training rows
    run: str = ""  # that learns on those that are meant; "" while they are looked for


def more(case: Case) -> None:
    """Draw the button while something is selected; afterwards how far the run is, and at its end what came of it."""
    select = state.view().select
    st.subheader("Train more on this slice", anchor=False)
    if case.about.student.run is None or case.about.data is None:
        st.caption("Only a student that is a run on this machine can be trained further.")
        return
    if not select:
        st.caption(
            f"Select a slice, or any other samples; then one click trains the student for {STEPS} more steps on them."
        )
        return
    st.caption(
        f"A run of its own goes on from the student's weights for {STEPS} steps at a tenth of its learning rate. Half "
        f"of each batch comes from the training rows that the selection means, among the first {MOST_ROWS:,}, the rest "
        "from all; what it did to the other rows is shown beside."
    )
    work = _kept(_place(case, select))
    try:
        after = _after(case, work) if work else None
    except BadInput as error:  # somebody deleted its run for good
        st.warning(verbatim(error))
        work = after = None
    if work is None:
        act = partial(_begin, case)
        start_button(
            f"Train {STEPS} more steps on this slice", "fitness_center", "more steps", partial(_planned, case), act
        )
        confirmation("more steps", partial(_planned, case), act)
    elif after:
        _tell(case, after, select, work.run)
    else:
        state.fragment(_follow, run_every=POLL_S)(case, select, work)


def _planned(case: Case) -> list[Spec]:
    """Return the run that would come, of whichever rows; none where the student's is gone."""
    run = run_store.known(case.about.student.run or "")
    return [further(run.spec, [0], STEPS)] if run else []


def _place(case: Case, select: str) -> Path:
    return case.folder / f"further-{hashlib.sha256(select.encode()).hexdigest()[:12]}.json"


def _kept(place: Path) -> Work | None:
    return Work.model_validate_json(place.read_text()) if place.exists() else None


def _begin(case: Case) -> None:
    """Ask both models about the training rows, to know which of them are meant by what is selected by now."""
    wish = {"where": "train", "rows": MOST_ROWS, "given": "", "notes": ()}
    training = comparison.opened(asked(case.folder).model_copy(update=wish))
    write_text(_place(case, state.view().select), Work(training=training).model_dump_json())


def _follow(case: Case, select: str, work: Work) -> None:
    """Take the next step on the way; what hinders it is told and ends the work, so that it can be begun again."""
    try:
        _advance(case, select, work)
    except BadInput as error:
        state.complain(str(error))
        _place(case, select).unlink(missing_ok=True)
        st.rerun()


def _advance(case: Case, select: str, work: Work) -> None:
    """Training rows, then the run, then the answers of the student afterwards."""
    if not work.run:
        if _there(work.training, "finding the selected training samples"):
            run = _submitted(case, comparison.case(work.training), select)
            write_text(_place(case, select), work.model_copy(update={"run": run.id}).model_dump_json())
            st.rerun()
        return
    run = run_store.store().get(work.run)
    if run.state in ACTIVE:
        st.progress(run.step / max(1, run.steps), f"learning: step {run.step} of {run.steps} …")
        return
    if run.state != "done":
        raise BadInput(f"The run ended early: {run.message or WORDS[run.state]}")
    if _there(comparison.opened(comparison.anew(case, run)), "evaluating the student again"):
        st.rerun()


def _after(case: Case, work: Work) -> Case | None:
    """Return the student afterwards on the case's rows; None while it is not known."""
    run = run_store.known(work.run) if work.run else None
    if run is None or run.state != "done":
        return None
    found = comparison.anew(case, run).id
    told = progress(folder_of(found), comparison.FIRST)
    return comparison.case(found) if told and told.state == "done" else None


def _there(case_id: str, says: str) -> bool:
    """Whether a case has been measured; while not, how far it is."""
    told = progress(folder_of(case_id), comparison.FIRST)
    if told is not None and told.state == "failed":
        raise BadInput(told.says)
    if told is None or told.state != "done":
        st.progress(told.share if told else 0.0, f"{says} …")
        return False
    return True


def _submitted(case: Case, training: Case, select: str) -> Run:
    """Return the run on those training rows that the selection means."""
    student = run_store.find(case.about.student.run)
    assert student
    rows = training.rows.index[mask(training, select)].tolist()
    return run_store.store().submit(further(student.spec, rows, STEPS), state.viewer())


def _tell(case: Case, after: Case, select: str, run_id: str) -> None:
    """Say what the steps did, there and elsewhere."""
    found = effects(case.rows, after.rows.student, mask(case, select), case.classes)
    st.dataframe([_line(one) for one in found], hide_index=True, width="stretch")
    st.caption(
        "On the rows of this comparison, none of which it was trained on unless they are training rows. Differences "
        f"are named at a rate of {LEVEL:.0%} false discoveries (McNemar's test)."
    )
    st.button(
        "Inspect the student afterwards",
        icon=":material/troubleshoot:",
        on_click=state.attempt,
        args=(partial(_inspect, run_id, after),),
    )


def _inspect(run_id: str, after: Case) -> None:
    state.put("student", run_id)
    state.show(after.id)


def _line(one: Effect) -> dict[str, object]:
    line: dict[str, object] = {"rows": one.name, "how many": one.rows, "right before": percent(one.before),
            "right after": percent(one.after), "gained": one.gained, "lost": one.lost,
            "difference": _difference(one)}  # fmt: skip
    if not math.isnan(one.agreed_before):
        line |= {"agreed before": percent(one.agreed_before), "agreed after": percent(one.agreed_after)}
    return line


def _difference(one: Effect) -> str:
    if one.p > LEVEL:
        return "may be chance"
    return f"{'more' if one.gained > one.lost else 'fewer'} right (q = {one.p:.1g})"
