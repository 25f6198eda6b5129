"""Gathering evidence: further runs as witnesses, and distances to the training rows."""

from __future__ import annotations

from functools import partial

import streamlit as st

from app import run_store, state
from app.components.remote_consent import confirmation, start_button
from app.helpers import comparison
from app.inspector._cards import task
from kdcore.comparison.case import Case
from kdcore.comparison.causes import WITNESSES
from kdcore.comparison.reference_runs import witnesses
from kdcore.errors import BadInput
from kdcore.jobs.rows import Run
from kdcore.jobs.states import ACTIVE
from kdcore.spec.spec import Spec

POLL_S = 2.0
Wanted = dict[str, list[tuple[Spec, Run | None]]]  # of each kind of witness what is wanted, and its newest run


def show(case: Case) -> None:
    """Draw what can be gathered, how far it is, and what is there."""
    st.subheader("Evidence", anchor=False)
    if case.about.data is None:
        st.caption("Only outputs were uploaded, so no further evidence can be gathered here.")
        return
    task(case, "support", "Measure distances to the training rows",
         "Finds how far each row's 10th nearest training row is, in the teacher's features.")  # fmt: skip
    spec = _spec(case)
    if spec is None:
        st.caption("The student is no run of this machine, so nobody can train it with another seed or for longer.")
        return
    runs = wanted(spec, run_store.store().runs())
    if any(run and run.state in ACTIVE for _, run in _flat(runs)):
        state.fragment(_watch, run_every=POLL_S)(spec)
    else:
        _table(runs)
        _act(case, runs)


def _spec(case: Case) -> Spec | None:
    try:
        run = run_store.find(case.about.student.run)
    except BadInput:
        return None
    return run.spec if run else None


def wanted(spec: Spec, runs: list[Run]) -> Wanted:
    """Return the witnesses of a spec; a run that is done counts before one that is not."""
    found: dict[str, Run] = {}
    for run in sorted(runs, key=lambda run: (run.state == "done", run.state in ACTIVE)):
        found[run.hash] = run
    return {kind: [(one, found.get(one.hash)) for one in specs] for kind, specs in witnesses(spec).items()}


def _flat(runs: Wanted) -> list[tuple[Spec, Run | None]]:
    return [one for some in runs.values() for one in some]


def _watch(spec: Spec) -> None:
    """Look now and then how far the runs are; when all are over the page is drawn anew."""
    runs = wanted(spec, run_store.store().runs())
    _table(runs)
    if not any(run and run.state in ACTIVE for _, run in _flat(runs)):
        st.rerun()


def _table(runs: Wanted) -> None:
    """How far the witnesses are."""
    if not any(run for _, run in _flat(runs)):
        return
    rows = ["| witness | seed | steps | state |", "|---|---|---|---|"]
    for kind, some in runs.items():
        rows += [f"| {WITNESSES[kind]} | {spec.seed} | {spec.schedule.steps:,} | {_state(run)} |" for spec, run in some]
    st.markdown("\n".join(rows))


def _state(run: Run | None) -> str:
    if run is None:
        return "not begun"
    return f"[{run.standing}](lab?run={run.id})" + (f", step {run.step:,}" if run.state == "running" else "")


def _act(case: Case, runs: Wanted) -> None:
    """Offer the next thing to do: train what is not trained, then ask all that are."""
    absent = [spec for spec, run in _flat(runs) if run is None or run.state != "done"]
    if absent:
        act = partial(submit, absent)
        says = "These are ordinary runs, listed on the Runs page; finished runs are reused."
        start_button(f"Gather evidence: {told(runs)}", "play_arrow", "gather", lambda: absent, act, says)
        confirmation("gather", lambda: absent, act)
    ready = {kind: [run for _, run in some if run and run.state == "done"] for kind, some in runs.items()}
    parties = {kind: [comparison.party(run).model_dump() for run in some] for kind, some in ready.items() if some}
    if parties and not _asked(case, parties):
        label = f"Ask the runs that are done ({sum(map(len, parties.values()))})"
        task(case, "witnesses", label, "Evaluates them on the samples of this comparison.", **parties)


def _asked(case: Case, parties: dict[str, list[dict[str, object]]]) -> bool:
    """Whether exactly these runs have answered."""
    held = case.part("witnesses")
    known = {str(run) for kind in WITNESSES for run in held.get(f"{kind}_runs", ())}
    return known == {one["run"] for some in parties.values() for one in some}


def submit(specs: list[Spec]) -> None:
    """Start the runs that are missing.

    Raises:
        BadInput: why some of them cannot be run here; the others are started.
    """
    refused = []
    for spec in specs:
        try:
            run_store.store().submit(spec, state.viewer(), label="Witness")
        except BadInput as error:
            refused.append(str(error))
    if refused:
        raise BadInput(" ".join(refused))


def told(runs: Wanted) -> str:
    """Return what is gathered, in words: "3 other seeds, a longer run: 4 runs"."""
    seeds = len(runs["seeds"])
    parts = [f"{seeds} {WITNESSES['seeds']}", *(WITNESSES[kind] for kind in ("longer", "bigger") if runs[kind])]
    return f"{', '.join(parts)}: {len(_flat(runs))} runs"
