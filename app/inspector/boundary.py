"""Where each model changes its mind: on a plane through rows, in an embedding, and in a decision map."""

from __future__ import annotations

import streamlit as st

from app import examining, state
from app.inspector._cards import POLL_S, cards, choice
from app.panels.cases.plane import wanted
from kdcore.cases.case import Case, progress
from kdcore.cases.plane import name_of

VIEWS = {"plane": "Plane", "embedding": "Embedding", "map": "Decision map"}


def show(case: Case) -> None:
    """The section: one of its three views, so that nothing is computed that nobody looks at."""
    {"plane": _plane}[choice("boundary", "What to look at", VIEWS)](case)


def _plane(case: Case) -> None:
    if case.pictures is None or case.about.data is None:
        st.info("Only answers were given here, no models that could be asked about other places.")
        return
    cards(case, "plane", key="plane")
    if not case.part(_name(case)):
        examining.later(case.folder, "plane", **wanted(state.view()))
        st.fragment(_waiting, run_every=POLL_S)(case)


def _name(case: Case) -> str:
    return name_of(case.about.shape, *wanted(state.view()).values())


def _waiting(case: Case) -> None:
    """What hinders the plane, where something does."""
    told = progress(case.folder, "plane")
    if not case.part(_name(case)) and told is not None and told.state == "failed":
        st.warning(told.says)
