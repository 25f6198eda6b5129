"""The live view: `live` puts it on a page; the rest of this folder serves it.

The component's scripts are modules that the browser loads from this server; what a page sends to its component says
only what to look at and how, so a rerun of the page draws nothing anew. Figures come over one socket per page.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import streamlit as st

from app import theme
from app.live.routes import PLOTLY, WEB, module
from app.live.tokens import SERVER
from app.panels import View, panel

COLOURS = ("TEACHER", "STUDENT", "MENTOR", "DISAGREE", "GOOD", "INK", "MUTED", "GRID", "PAPER")

_component = st.components.v2.component(
    "kdlab_live",
    css=(WEB / "component.css").read_text(),
    js=f"""
    export default async (component) => {{
        const {{ mount }} = await import({module("component")});
        return mount(component);
    }};
    """,
    isolate_styles=False,
)


class Setting(NamedTuple):
    """A setting that may be changed while the run is under way."""

    path: str  # such as schedule.lr
    label: str
    value: float
    min: float
    max: float


class Seen(NamedTuple):
    """What a component reports back."""

    view: dict[str, Any] | None  # temperature, sample and at, on the rerun after the viewer changed them


def live(
    kind: Literal["transport", "panels"],
    run: str,
    *,
    view: View,
    token: str,
    key: str,
    panels: Sequence[str] = (),
    settings: Sequence[Setting | dict[str, Any]] = (),
    autoplay: bool = False,
    guard: str = "",
    on_view: Callable[[], None] | None = None,
) -> Seen:
    """Return the transport bar of a run, or its panels.

    All of them on one page share one socket and one view: what is changed in one holds in every other at once.

    Args:
        kind: what to show.
        run: the run's id.
        view: how to look at first; afterwards the viewer's own changes count until this argument changes.
        token: see `app.live.tokens.issue`.
        key: the component's own; while it stays, so do zoom and node.
        panels: names, in order.
        settings: what the owner may change while it runs.
        autoplay: whether a recorded run starts to play by itself.
        guard: why no picture that shows rows of the data may be saved; "" where it may.
        on_view: called before the rerun that follows a change of the view.
    """
    data = {
        "kind": kind,
        "label": key.capitalize(),
        "run": run,
        "token": token,
        "server": SERVER,
        "theme": view.theme,
        "view": view.model_dump(exclude={"theme"}),
        "plotly": f"{PLOTLY.lstrip('/')}/plotly.min.js",
        "panels": [_card(name) for name in panels],
        "settings": [dict(s) if isinstance(s, dict) else s._asdict() for s in settings],
        "autoplay": autoplay,
        "guard": guard,
        "colours": {name.lower(): getattr(theme, name) for name in COLOURS},
    }
    result = _component(key=key, data=data, on_view_change=on_view or _nothing)
    return Seen(view=result.get("view"))


def _card(name: str) -> dict[str, Any]:
    found = panel(name)
    told = ("title", "caption", "kind", "wide", "extra", "pictured", "softened")
    return {"name": name} | {field: getattr(found, field) for field in told}


def _nothing() -> None:
    """Do nothing: a component that reports something must be given a callback."""
