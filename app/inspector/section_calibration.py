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

TAKEN = "Its last linear layer is divided by T: same answers, and logits that come out scaled. As safetensors."
LEVEL = 0.05  # p above which nothing is said of the student
BINS = {"width": "Bins of equal width", "mass": "Bins of equal mass"}


def show(case: Case) -> None:
    """Draw the section."""
    found = scaled(case)
    st.markdown(_said(found))
    if found.temperature is None and not halved(case):
        task(case, TASK, "Fit a temperature", "Asks the student about its validation rows and fits one number to them.")
    else:
        _download(case, found)
    choice("bins", "How rows are binned", BINS)
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
        st.download_button("Take the scaled student", path.read_bytes(), path.name, key="take", help=TAKEN,
                           icon=":material/download:")  # fmt: skip
        return
    act = partial(comparison.ask, case.folder, "tempered", temperature=found.temperature)
    st.button("Make the scaled student", help=TAKEN, key="make", on_click=state.attempt, args=(act,),
              icon=":material/thermostat:")  # fmt: skip


def _said(found: TemperatureFit) -> str:
    """Return what the temperature is and where it comes from."""
    if found.temperature is None:
        return "No temperature has been fitted yet. It is fitted on labelled validation rows."
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
        return "That is the end of what was tried: NLL has no minimum on these rows."
    if math.isnan(p):
        return "Above 1 it softens the student, below 1 it sharpens it."
    if p > LEVEL:
        return f"These rows do not show that the student is too sure or too shy at T = 1 (p = {p:.2g})."
    how = "sure: it is softened" if temperature > 1 else "shy: it is sharpened"
    return f"On them the student is too {how} (p = {p:.1g} were T = 1 right)."
