"""How sure teacher and student are beside how often they are right, and one temperature that mends the student."""

from __future__ import annotations

import math
from functools import partial

import streamlit as st

from app import state
from app.helpers import comparison
from app.inspector._cards import cards, choice, task
from kdcore.comparison.case import Case
from kdcore.comparison.temperature_scaling import COLDEST, HOTTEST, TASK, TemperatureFit, halved, scaled

TAKEN = "Its last linear layer is divided by T: same predictions, scaled logits. Saved as safetensors."
LEVEL = 0.05  # p above which nothing is said of the student
BINS = {"width": "Equal-width bins", "mass": "Equal-mass bins"}


def show(case: Case) -> None:
    """Draw the section."""
    found = scaled(case)
    st.markdown(_said(found))
    if found.temperature is None and not halved(case):
        task(case, TASK, "Fit a temperature", "Evaluates the student on its validation samples and fits one number.")
    else:
        _download(case, found)
    choice("bins", "Binning", BINS)
    cards(
        case, "reliability", "scores", "by_answer", "heritage", "risk", "temperature", "calibration_path",
        "reliability_play", key="calibration",
    )  # fmt: skip


def _download(case: Case, found: TemperatureFit) -> None:
    """Offer the student's weights with the temperature in them: made by the first click, taken by the second."""
    if found.temperature is None or case.about.student.run is None:
        return
    path = case.folder / f"student-{found.temperature:.4g}.safetensors"
    if path.exists():
        st.download_button("Download the scaled student", path.read_bytes(), path.name, key="take", help=TAKEN,
                           icon=":material/download:")  # fmt: skip
        return
    act = partial(comparison.ask, case.folder, "tempered", temperature=found.temperature)
    st.button("Make the scaled student", help=TAKEN, key="make", on_click=state.attempt, args=(act,),
              icon=":material/thermostat:")  # fmt: skip


def _said(found: TemperatureFit) -> str:
    """Return what the temperature is and where it comes from."""
    if found.temperature is None:
        return "No temperature fitted yet. It is fitted on labelled validation samples."
    text = (
        f"One temperature for all of the student's logits, fitted by NLL on {found.rows:,} labelled rows: "
        f"**{found.temperature:.3g}**. {_meaning(found.temperature, found.p)}"
    )
    if found.halves:
        first, second = found.halves
        text += (
            f" “Student, scaled” shows each half of the rows at the temperature that was fitted on the other half "
            f"({first:.3g} and {second:.3g}), so no row helped to choose its own."
        )
    return text


def _meaning(temperature: float, p: float) -> str:
    """Return what the temperature says of the student: that it is too sure or too shy only where that is beyond
    chance.
    """
    if temperature in (COLDEST, HOTTEST):
        return "This is the limit of the search range: NLL has no minimum on these samples."
    if math.isnan(p):
        return "Above 1 it softens the student, below 1 it sharpens it."
    if p > LEVEL:
        return f"These samples do not show over- or underconfidence of the student at T = 1 (p = {p:.2g})."
    how = "overconfident: it is softened" if temperature > 1 else "underconfident: it is sharpened"
    return f"On these samples the student is {how} (p = {p:.1g} were T = 1 right)."
