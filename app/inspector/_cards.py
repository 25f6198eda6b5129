"""Panels of a case on the page, and the tasks that some of them wait for."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import streamlit as st

from app import state
from app.components import run_view
from app.helpers import comparison
from app.live import live, tokens
from app.panels import CASE, knob, turned
from app.text import consent
from app.text.phrases import verbatim
from kdcore.comparison.case import Case, progress

POLL_S = 0.5


def cards(case: Case, *names: str, key: str = "panels") -> None:
    """Panels of a case by their names, in this order; they follow view and selection by themselves."""
    live(
        "panels",
        case.id,
        view=state.view(),
        token=tokens.issue(state.viewer()),
        key=key,
        panels=[CASE + name for name in names],
        guard="" if not comparison.walled(case) or state.component(run_view.CONSENT) else consent.UNASKED,
        on_view=partial(state.heard, key),
    )


def choice(name: str, label: str, options: Mapping[str, str]) -> str:
    """Return a setting of this section or its panels, one of a few; it lives in the link, and panels read it by `knob`.

    Args:
        name: the knob's.
        label: what a screen reader says.
        options: what it may be turned to and how that is called; the first is its default.
    """
    first = next(iter(options))
    held = knob(state.view(), name, first)
    key = state.widget(f"knob {name}", held if held in options else first)
    st.segmented_control(
        label, list(options), format_func=options.__getitem__, required=True, key=key, on_change=_turn,
        args=(name, key, first), label_visibility="collapsed",
    )  # fmt: skip
    return str(state.component(key))


def _turn(name: str, key: str, first: str) -> None:
    """Keep what a setting's widget was turned to."""
    value = str(state.component(key))
    state.look(knobs=turned(state.view(), name, "" if value == first else value))


def task(case: Case, name: str, label: str, says: str, **asked: Any) -> bool:
    """Return a button that has a long task done, and how far it is; whether its arrays are there."""
    if comparison.working(case.folder, name):
        bar(case.folder, name)
    else:
        if case.outdated(name):  # it ended after the page above was drawn, and nobody would draw that anew
            st.rerun()
        told = progress(case.folder, name)
        if told is not None and told.state == "failed":
            st.warning(verbatim(told.says))
        act = partial(comparison.start, case.folder, name, **asked)
        st.button(
            label, help=says, key=f"task {name}", on_click=state.attempt, args=(act,), icon=":material/play_arrow:"
        )
    return bool(case.part(name))


def bar(folder: Path, name: str) -> None:
    """How far a task is; looks twice a second, and the whole page is drawn anew at its end."""
    state.fragment(_bar, run_every=POLL_S)(folder, name)


def _bar(folder: Path, name: str) -> None:
    told = progress(folder, name)
    if told is None or told.state in ("done", "failed"):
        st.rerun()
    st.progress(told.share, f"{told.says or 'beginning'} …")
