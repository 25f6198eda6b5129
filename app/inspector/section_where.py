"""Where the two disagree: who is right, which answers change, which rows, and how other runs on the same data fare."""

from __future__ import annotations

from functools import partial

import pandas as pd
import streamlit as st

from app import run_store, state, theme
from app.inspector._cards import cards
from app.text import phrases
from kdcore.comparison.case import Case
from kdcore.jobs.rows import Run

CHART = "landscape"


def show(case: Case) -> None:
    """Draw the section."""
    cards(case, "partition", "flow", "samples", "parts_over_time")
    with st.expander(
        "Faithful or accurate? All runs on these data", icon=":material/scatter_plot:", key=CHART + " all"
    ):
        _landscape(case)


def _landscape(case: Case) -> None:
    """Agreement with the teacher against accuracy, a point a run; a click opens it here."""
    points = landscape(case, run_store.store().runs(states={"done"}))
    if len(points) < 2:
        st.caption("No other finished run on these data has been compared with a teacher.")
        return
    st.caption(
        "Each point is a finished run, measured on its test samples. A student above the others copies its teacher "
        "more faithfully; one to the right is more often right. Click one to inspect it."
    )
    st.vega_lite_chart(points, _chart(), key=CHART, on_select=_open, selection_mode="run", height=340)


def landscape(case: Case, runs: list[Run]) -> pd.DataFrame:
    """Finished runs on the case's data that had a teacher: accuracy, agreement, KL in nats; one row a run."""
    names = phrases.labels(runs)
    told = [
        (run.id, names[run.id], run.spec.seed, run.result["student_accuracy"], run.result["agreement"],
         run.result.get("kl"), "this one" if case.about.student.run == run.id else "others")
        for run in runs
        if run.spec.data == case.about.data and run.result and "agreement" in run.result
    ]  # fmt: skip
    return pd.DataFrame(told, columns=["id", "run", "seed", "accuracy", "agreement", "kl", "which"])


def _chart() -> dict[str, object]:
    axis = {"type": "quantitative", "scale": {"zero": False}, "axis": {"format": ".1%"}}
    look = state.view().theme
    return {
        "mark": {"type": "point", "filled": True, "size": 90, "tooltip": True},
        "params": [{"name": "run", "select": {"type": "point", "fields": ["id"]}}],
        "encoding": {
            "x": axis | {"field": "accuracy", "title": "student's accuracy"},
            "y": axis | {"field": "agreement", "title": "same answer as its teacher"},
            "color": {
                "field": "which",
                "type": "nominal",
                "title": None,
                "scale": {"domain": ["this one", "others"], "range": [theme.STUDENT[look], theme.MUTED[look]]},
                "legend": {"orient": "bottom"},
            },
            "tooltip": [{"field": name} for name in ("run", "seed", "accuracy", "agreement", "kl")],
        },
    }


def _open() -> None:
    """Inspect the run whose point was clicked."""
    picked = ((state.component(CHART) or {}).get("selection") or {}).get("run") or []
    if picked:
        state.attempt(partial(state.inspect, picked[0]["id"]))
