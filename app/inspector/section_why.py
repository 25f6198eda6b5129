"""Why the two disagree: a cause for each row, what stands out, what speaks for it, and how to gather more evidence."""

from __future__ import annotations

from functools import partial

import streamlit as st

from app import state
from app.forms import fields
from app.inspector import gather_evidence
from app.inspector._cards import cards
from app.text.phrases import percent, share
from kdcore.comparison.case import Case
from kdcore.comparison.causes import CAUSES, WITNESSES, Thresholds, causes, keep, knobs_of, missing
from kdcore.comparison.evidence import EvidenceLine, evidence
from kdcore.comparison.findings import Concentration, Gain, concentrations, gains

FEW = 6  # classes that are told


def show(case: Case) -> None:
    """Draw the section."""
    if case.rows.teacher is None:
        st.info("There is no teacher to disagree with.")
        return
    cards(case, "causes", "samples", key="why")
    lacking = missing(case)
    if lacking:
        st.caption(f"Not gathered yet, so never a cause here: {', '.join(lacking)}.")
    _stands_out(case)
    _row(case)
    gather_evidence.show(case)
    _thresholds(case)


# What stands out


def _stands_out(case: Case) -> None:
    st.subheader("What stands out", anchor=False)
    found, told = concentrations(case), gains(case)
    for gain in told:
        st.markdown(_gained(gain))
    for one in found[:FEW]:
        with st.container(horizontal=True, vertical_alignment="center", key=f"finding {one.select}"):
            st.markdown(_concentrated(case, one))
            act = partial(state.look, select=one.select)
            st.button("Select", key=f"select {one.select}", on_click=state.attempt, args=(act,))
    if not found:
        st.markdown("No cause is far more frequent in one class than in the others, beyond chance.")
    if not told:
        st.markdown("Whether more steps or a bigger student would help has not been tested: that takes the answers of "
                    "two other seeds and of a longer or bigger run.")  # fmt: skip


def _gained(one: Gain) -> str:
    """Return a witness beside students of the same recipe."""
    verdict = f"**{CAUSES[one.cause]}**" if one.stands_out else f"not {CAUSES[one.cause]} beyond chance"
    return (
        f"{verdict}: {WITNESSES[one.kind]} agrees with the teacher on {percent(one.agreement)} of {one.rows:,} rows, "
        f"students of this recipe on {percent(one.usual)} ± {percent(one.error)} (p = {one.p:.2g})."
    )


def _concentrated(case: Case, one: Concentration) -> str:
    return (
        f"**{CAUSES[one.cause]}**: {share(one.rows, one.of)} of the rows that the teacher calls "
        f"{case.classes[one.answer]}, {percent(one.elsewhere)} of the others (q = {one.q:.1g})."
    )


# One row


def _row(case: Case) -> None:
    """Draw what speaks for and against each cause of the pinned row."""
    row = min(state.view().sample, len(case.rows) - 1)
    code = int(causes(case).code[row])
    said = "the two agree" if code < 0 else CAUSES[list(CAUSES)[code]]
    st.subheader(f"Row {row}: {said}", anchor=False)
    lines = evidence(case, row)
    st.markdown("\n".join(["| cause | holds | evidence |", "|---|---|---|", *map(_line, lines)]))
    proving = list(dict.fromkeys(run for line in lines for run in line.runs))
    if proving:
        with st.container(horizontal=True, key="proving"):
            for run in proving:
                st.page_link("views/lab.py", label=f"Run {run}", icon=":material/science:", query_params={"run": run})


def _line(line: EvidenceLine) -> str:
    escaped = line.says.replace("|", "\\|")
    return f"| {CAUSES[line.cause]} | {'**yes**' if line.holds else 'no'} | {escaped} |"


# Thresholds


def _thresholds(case: Case) -> None:
    """Draw the causes' knobs; they hold for this comparison, whoever looks at it."""
    knobs = knobs_of(case)
    changed = knobs != Thresholds()
    with st.expander(f"Thresholds{' · changed' if changed else ''}", icon=":material/tune:", key="thresholds"):
        st.caption("They hold for this comparison, for everybody who opens it. Causes are tested from the top.")
        for name, info in Thresholds.model_fields.items():
            low, high = fields.bounds(info)
            key = state.widget(f"threshold {name}", getattr(knobs, name))
            st.number_input(
                (info.description or name).rstrip("."), low, high, step=fields.step_of(info.default, high), format="%g",
                key=key, on_change=state.attempt, args=(partial(_turn, case, name, key),),
            )  # fmt: skip
        if changed:
            st.button("Back to the defaults", on_click=state.attempt, args=(partial(keep, case, Thresholds()),))


def _turn(case: Case, name: str, key: str) -> None:
    keep(case, Thresholds.model_validate(knobs_of(case).model_dump() | {name: fields.tidy(state.component(key))}))
