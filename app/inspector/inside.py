"""What goes on inside both networks: confusions and kinship of classes, stages, gradients, and what they know."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from app import state
from app.inspector._cards import cards, choice, task
from kdcore.cases.case import Case
from kdcore.cases.trail import trail

END = -1  # the student's last weights


def show(case: Case) -> None:
    """The section: one group at a time, so that only what is looked at is drawn."""
    GROUPS[choice("inside", "Group", {name: name for name in GROUPS})](case)


def _confusion(case: Case) -> None:
    frames = trail(case)
    if frames is not None:
        steps = [*frames.steps.tolist(), END]
        at = state.view().at
        held = END if at is None else max((step for step in frames.steps.tolist() if step <= at), default=steps[0])
        st.select_slider(
            "The student at step", steps, key=state.widget("at step", held), format_func=_step, on_change=_scrub
        )
    cards(case, "confusion", "course", key="inside confusion")


def _step(step: int) -> str:
    return "last weights" if step == END else f"{step:,}"


def _scrub() -> None:
    step = int(state.component("form at step"))
    state.look(at=None if step == END else step)


def _classes(case: Case) -> None:
    cards(case, "affinity", key="inside classes")


def _stages(case: Case) -> None:
    task(
        case,
        "similarity",
        "Compare all stages",
        "Asks both networks about up to 2,000 of the selected rows and compares every stage with every other: "
        "seconds for small networks, up to a minute for large ones.",
        select=state.view().select,
    )
    cards(case, "similarity", key="inside stages")


GROUPS: dict[str, Callable[[Case], None]] = {
    "Confusion": _confusion,
    "Classes": _classes,
    "Stages": _stages,
}
