"""The drawing pad: an image by hand, or a row with other pixels, and both models' answer to it at once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from html import escape
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from app import state
from app.inspector import _attributions, _neighbours
from app.inspector._answers import answered, named, pinned
from app.reports import html_images
from app.text.phrases import percent
from kdcore.comparison.case import Case
from kdcore.errors import BadInput

KEY = "pad"
HELD = "drawn"
REACH = 2.0  # of a point's numbers, in widths of what the rows span
MOST = 8  # numbers of a point that can be changed


@cache
def _component() -> Callable[..., Any]:
    folder = Path(__file__).parent
    script, style = ((folder / f"pad.{end}").read_text() for end in ("js", "css"))
    mount: Callable[..., Any] = st.components.v2.component(
        "kdlab_pad", html="<div class='pad'></div>", css=style, js=script
    )
    return mount


def pad(case: Case) -> None:
    """Draw the pad and, beside it, what both models say; for points, a place in their plane."""
    if not case.about.shape or case.about.data is None:
        st.info("Only outputs were uploaded; open two models to evaluate images.")
        return
    left, right = st.columns([2, 3], gap="large")
    with left:
        pixels = _draw(case) if len(case.about.shape) == 3 else _place(case)
    with right:
        _answers(case, pixels)


# An image


def _draw(case: Case) -> list[Any]:
    """Return what is on the pad: (K, H, W)."""
    row, shape = pinned(case)[0], case.about.shape
    held = state.recall(HELD, {})
    if held.get("of") != (case.id, row):
        held = _hold(case, row, _row(case, row))
    _component()(
        key=KEY,
        data={"version": held["version"], "shape": shape, "pixels": np.ravel(held["pixels"]).tolist()},
        on_pixels_change=lambda: _heard(case),
    )
    with st.container(horizontal=True):
        again, empty = (partial(_put, case, row, pixels) for pixels in (_row(case, row), _empty(shape)))
        st.button(f"Row {row} again", icon=":material/replay:", on_click=again)
        st.button("Empty pad", icon=":material/ink_eraser:", on_click=empty)
    st.caption("Keys: arrows move, space sets a dot, 1 to 3 choose the pen, E erases, Z takes back. Erased is black.")
    pixels: list[Any] = state.recall(HELD, {})["pixels"]
    return pixels


def _hold(case: Case, row: int, pixels: list[Any]) -> dict[str, Any]:
    """Put another image on the pad; the browser takes it over as its version is new."""
    version = int(state.recall(HELD, {}).get("version", 0)) + 1
    held = {"of": (case.id, row), "version": version, "pixels": pixels}
    state.remember(HELD, held, local=True)
    return held


def _put(case: Case, row: int, pixels: list[Any]) -> None:
    """Put another image on the pad when a button is pressed."""
    _hold(case, row, pixels)


def _row(case: Case, row: int) -> list[Any]:
    """Return a row's pixels; black where the rows are not at hand."""
    found: list[Any] = _empty(case.about.shape) if case.pictures is None else case.pictures[row].tolist()
    return found


def _empty(shape: tuple[int, ...]) -> list[Any]:
    return np.zeros(shape, dtype=int).tolist()  # type: ignore[no-any-return]


def _heard(case: Case) -> None:
    """Keep what was drawn on the pad, so that a page that is drawn anew shows it again."""
    held = state.recall(HELD, {})
    try:
        held["pixels"] = checked(state.component(KEY, "pixels"), case.about.shape)
    except BadInput as error:
        state.complain(str(error))


def checked(sent: Any, shape: tuple[int, ...]) -> list[Any]:
    """Return what the pad sent, as (K, H, W) bytes.

    Raises:
        BadInput: it is no such image.
    """
    try:
        found = np.array(sent, dtype=np.int64)
    except (TypeError, ValueError, OverflowError):
        found = np.zeros(0, dtype=np.int64)
    if found.size != prod(shape) or found.min() < 0 or found.max() > 255:
        raise BadInput("The pad sent something that is no image of these data; reload the page.")
    told: list[Any] = found.reshape(shape).tolist()
    return told


# A point


def _place(case: Case) -> list[float]:
    """Return a point by its numbers, from those of the pinned row."""
    row = pinned(case)[0]
    rows = np.zeros((1, *case.about.shape)) if case.pictures is None else case.pictures
    start, low, high = rows[row if len(rows) > row else 0], rows.min(0), rows.max(0)
    reach = REACH * np.maximum(high - low, 1e-3)
    values = [float(value) for value in start]
    for k in range(min(MOST, len(values))):
        bounds = float(low[k] - reach[k]), float(high[k] + reach[k])
        values[k] = st.slider(f"x{k}", *bounds, values[k], float(reach[k]) / 400, key=f"point {case.id} {row} {k}")
    if len(values) > MOST:
        st.caption(f"The other {len(values) - MOST} numbers stay those of row {row}.")
    return values


# What is said of it


def _answers(case: Case, pixels: list[Any]) -> None:
    """Both answers, whether they are the same, and what the input is near to where that was measured."""
    told = answered(case, "drawn", pixels=pixels)
    if told is None:
        return
    look = state.view().theme
    sides: dict[str, Any] = {who: told[who]["probability"] for who in ("teacher", "student") if who in told}
    st.html(
        html_images.style(look) + html_images.bars(case.classes, sides, look) + html_images.sentences(said(case, told))
    )
    if len(case.about.shape) == 3 and st.toggle("Where they look", key="pad maps"):
        maps = answered(case, "maps", pixels=pixels, of=told["student"]["answer"])
        if maps:
            title = f"For {named(case, told['student']['answer'])}"
            st.html(_attributions.card(maps, title, look))
    if case.part("neighbours") and st.toggle("Nearest training samples", key="pad near"):
        near = answered(case, "nearest", pixels=pixels)
        if near:
            st.html(html_images.style(look) + _neighbours.neighbours(case, near, "this input"))


def said(case: Case, told: dict[str, Any]) -> list[str]:
    """Both answers in sentences."""
    words = [
        f"{who.capitalize()} says <b>{escape(named(case, told[who]['answer']))}</b>, "
        f"{percent(told[who]['probability'][told[who]['answer']])}."
        for who in ("teacher", "student")
        if who in told
    ]
    if "teacher" in told:
        same = told["teacher"]["answer"] == told["student"]["answer"]
        words.append("They agree." if same else "<b>They disagree.</b>")
    return words
