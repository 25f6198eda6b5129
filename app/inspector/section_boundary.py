"""Where each model changes its mind: on a plane through rows, in an embedding, and in a decision map."""

from __future__ import annotations

from functools import partial

import streamlit as st

from app import state
from app.helpers import comparison
from app.inspector._cards import POLL_S, cards, choice, task
from app.panels import knob, turned
from app.panels.cases.embedding import COLOURED
from app.panels.cases.plane import wanted
from app.text.phrases import verbatim
from kdcore.comparison.case import Case, progress
from kdcore.comparison.plane import FINEST, name_of

VIEWS = {"plane": "Plane", "embedding": "Embedding", "map": "Decision map"}
ONLY_ANSWERS = "Only outputs were uploaded, so there are no models to evaluate elsewhere."
SELECTED = "The selected rows come first, the others are spread evenly over all rows."
MIXED = (
    "How far two rows are apart: this share by their pixels, the rest by how much both models change their minds on "
    "the way from one to the other, in five steps (DeepView's lambda)."
)
MAPPED = (
    "Both models are asked about four places on the way between any two rows; then UMAP lays the rows out. It is done "
    "in a process of its own; twice the rows take four times as long."
)
PLANES = (
    "Both models are asked about ten planes through three random rows of three classes each, so that what is said of "
    "their regions does not hang on one plane."
)
UMAP = (
    "Both models' features are laid out together in a process of its own, with a fixed seed; the page stays free. Each "
    "thousand rows take about a minute, and the first time UMAP itself is loaded for up to a minute."
)


def show(case: Case) -> None:
    """Draw the section: one of its three views, so that nothing is computed that nobody looks at."""
    {"plane": _plane, "embedding": _embedding, "map": _map}[choice("boundary", "What to look at", VIEWS)](case)


def _plane(case: Case) -> None:
    if case.pictures is None or case.about.data is None:
        st.info(ONLY_ANSWERS)
        return
    _third(case)
    cards(case, "plane", "margins", key="plane")
    if case.rows.teacher is not None and case.about.shape != (2,):
        task(case, "planes", "Ten planes through random rows", PLANES)
    if not _whole(case):
        comparison.later(case.folder, "plane", **wanted(state.view())._asdict())
        state.fragment(_waiting, run_every=POLL_S)(case)


def _third(case: Case) -> None:
    """Offer the pinned row as the third row of the plane."""
    if case.about.shape == (2,):
        return
    view = state.view()
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption("Click a row to lay the plane through it, with Shift to take it as the second one.")
        if knob(view, "third"):
            label, value = f"Third row: {knob(view, 'third')}", ""
            icon = ":material/close:"
        else:
            label, value, icon = f"Keep row {view.sample} as the third", str(view.sample), ":material/push_pin:"
        args = (partial(_keep, value),)
        st.button(label, key="third row", icon=icon, type="tertiary", on_click=state.attempt, args=args)


def _keep(third: str) -> None:
    state.look(knobs=turned(state.view(), "third", third))


def _embedding(case: Case) -> None:
    if case.about.data is not None:
        with st.container(horizontal=True, vertical_alignment="bottom"):
            asked = {
                "of": st.selectbox("What is laid out", ["features", "logits"], key="embedding of", width=160),
                "rows": st.selectbox("Rows at most", [1000, 2000, 5000], index=1, key="embedding rows", width=140),
                "neighbours": st.number_input("Neighbours", 2, 200, 15, key="embedding neighbours", width=140),
                "apart": st.number_input("Least distance", 0.0, 1.0, 0.1, 0.05, key="embedding apart", width=140),
            }
            task(case, "embedding", "Lay out by UMAP", UMAP, **asked)
    choice("colour", "Colour", COLOURED)
    cards(case, "embedding", "trails", key="embedding")


def _map(case: Case) -> None:
    if case.pictures is None or case.about.data is None:
        st.info(ONLY_ANSWERS)
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        asked = {
            "rows": st.selectbox("Rows", [75, 150, 300, 500], index=1, key="map rows", width=140, help=SELECTED),
            "weight": st.number_input(
                "Weight of pixels", 0.0, 1.0, 0.65, 0.05, key="map weight", width=160, help=MIXED
            ),
        }
        task(case, "map", "Make the map", MAPPED, select=state.view().select, **asked)
    cards(case, "map", key="map")


def _name(case: Case) -> str:
    return name_of(case.about.shape, *wanted(state.view()))


def _whole(case: Case) -> bool:
    """Whether the plane is there, not only its first coarse look."""
    return len(case.part(_name(case)).get("student_class", ())) >= FINEST


def _waiting(case: Case) -> None:
    """Say what hinders the plane, where something does."""
    if _whole(case):
        st.rerun()
    told = progress(case.folder, "plane")
    if told is not None and told.state == "failed":
        st.warning(verbatim(told.says))
