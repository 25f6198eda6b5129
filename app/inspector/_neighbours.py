"""The training rows that are nearest to the pinned ones, as each model sees them."""

from __future__ import annotations

from html import escape
from typing import Any

import streamlit as st

from app import state
from app.inspector._answers import answered, named, pinned
from app.inspector._cards import task
from app.reports import html_images
from kdcore.comparison.case import Case

READ = (
    "Euclidean distance in a model's own last features, so distances of one model say nothing about the other's. Where "
    "the neighbours of a model have another label than the row, it sees the row as one of them."
)


def show(case: Case) -> None:
    """Five of each model, side by side; the features are measured once."""
    if not (
        case.part("neighbours")
        or task(case, "neighbours", "Measure features", "The last features of at most 20,000 training rows, once.")
    ):
        return
    for row in pinned(case):
        told = answered(case, "nearest", row=row)
        if told:
            st.html(html_images.style(state.view().theme) + neighbours(case, told, f"row {row}"))
    st.caption(READ)


def neighbours(case: Case, told: dict[str, Any], what: str) -> str:
    """Return the nearest to one input: a row of figures for each model."""
    shown = ""
    for who in ("teacher", "student"):
        if who in told:
            pictures = [_figure(case, one) for one in told[who]]
            heading = f"<b>{who.capitalize()}</b>: nearest to {escape(what)}"
            shown += f"<div>{html_images.sentences([heading])}{html_images.row(pictures)}</div>"
        elif case.about.teacher or who == "student":
            shown += html_images.sentences([f"The {who} only answers; it has no features in which rows could be near."])
    few = f"Sought among {told['among']:,} of {told['of']:,} training rows, evenly spread."
    return f'<div class="kd-pair">{shown}</div>' + html_images.sentences([few] if told["among"] < told["of"] else [])


def _figure(case: Case, one: dict[str, Any]) -> str:
    return html_images.figure(
        one["image"], named(case, one["label"]), f"{one['distance']:.3g} away<br>row {one['row']}"
    )
