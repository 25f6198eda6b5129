"""Panels: one file each, `PANEL` inside. A panel asks a probe and draws what it answers; it does no arithmetic.

Kinds of drawing, by what the browser does with them:
    plotly   {"data": [...], "layout": {...}}, drawn with Plotly.react
    field    bytes, see `panels/field.py`, painted on canvases
    gallery  {"items": [{"sample", "image" (data URL) or null, "label", "teacher", "student", "differs"}], "pinned"}
    table    {"columns": [{"text", "colour"}], "rows": [{"name", "part", "cells": [[number, what stands behind it]]}]}

What a click on a Plotly figure selects stands in its traces' `meta`, as {"pick": "part={customdata}"}: a template whose
{x}, {y}, {customdata} and {pointNumber} are those of the point; a cell of a heat-map also has {row} and {column}, its
place. "sample={customdata}" pins a row. A figure whose layout's `meta` is {"box": "embedding"} lets people draw a box,
which selects `box.embedding=x0,x1,y0,y1`; "box2" says the same of the figure's second axes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import Field

from kdcore.comparison.selection import LONGEST
from kdcore.errors import BadInput, unknown
from kdcore.frozen import FrozenModel
from kdcore.runs.record import Record

CASE = "case-"  # begins the name of panels that show a case; their functions take a `Case` where others take a `Record`


class View(FrozenModel):
    """How somebody looks at a run. It holds in every panel and lives in the URL (the theme apart)."""

    theme: Literal["light", "dark"] = "light"
    temperature: float | None = Field(None, ge=0.1, le=50.0, description="Of the display; None follows the training's.")
    sample: int = Field(0, ge=0, description="The pinned row of the probe set.")
    at: int | None = Field(None, ge=0, description="A recorded frame's step; None shows the newest.")
    select: str = Field("", max_length=LONGEST, description="Rows of a case; see `kdcore.comparison.selection`.")
    beside: int | None = Field(None, ge=0, description="A second row of a case, pinned beside the first.")
    knobs: str = Field("", max_length=300, description="How panels of a case are set: colour=kl;third=12. See `knob`.")


Drawing = dict[str, Any] | bytes
USUAL_TEMPERATURE = 4.0  # where neither a person nor the method names one


def softening(view: View, trained: float | None = None) -> float:
    """Return the temperature of the display: the one that was chosen, or else the training's."""
    return view.temperature or trained or USUAL_TEMPERATURE


def knob(view: View, name: str, default: str = "") -> str:
    """Return what a setting of panels of a case is turned to; `app.inspector._cards` has widgets that turn them."""
    told = dict(part.partition("=")[::2] for part in view.knobs.split(";"))
    return told.get(name) or default


def turned(view: View, name: str, value: str) -> str:
    """Return the settings of all panels with this one turned to a value; "" is its default."""
    told = dict(part.partition("=")[::2] for part in view.knobs.split(";") if part)
    return ";".join(f"{key}={held}" for key, held in (told | {name: value}).items() if held)


def always(_: Record) -> bool:
    """For panels that have something to say of every run."""
    return True


class Panel(NamedTuple):
    """One panel."""

    title: str
    kind: Literal["plotly", "field", "gallery", "table"]
    caption: str  # the first line of the probe's docstring: how to read it
    order: int  # place on the page
    wide: bool  # takes the whole row
    lacks: Callable[[Any], str | None]  # one sentence on what is missing, or None when it can be drawn
    draw: Callable[[Any, View], Drawing]  # of a record, or a case
    table: Callable[[Any, View], dict[str, list[Any]]]  # the same numbers as columns, for download
    suits: Callable[[Record], bool] = always  # asked at a run's beginning: whether it is of the kind that fills this
    extra: bool = False  # folded away at first, below the others
    pictured: bool = False  # whether what it draws shows rows of the data themselves
    softened: bool = False  # reads the temperature of the display, so that it has a slider for it


def caption(probe: Callable[..., Any]) -> str:
    """How to read a probe's panel."""
    return (probe.__doc__ or "").strip().splitlines()[0]


@cache
def panels() -> dict[str, Panel]:
    """Every panel by name, in the order of the page."""
    names = [path.stem for path in Path(__file__).parent.glob("[!_]*.py")]
    found = {name: import_module(f"app.panels.{name}").PANEL for name in names}
    return dict(sorted(found.items(), key=lambda item: item[1].order))


@cache
def case_panels() -> dict[str, Panel]:
    """Every panel of a case by name, in the order of the page."""
    names = [path.stem for path in (Path(__file__).parent / "cases").glob("[!_]*.py")]
    found = {CASE + name: import_module(f"app.panels.cases.{name}").PANEL for name in names}
    return dict(sorted(found.items(), key=lambda item: item[1].order))


def panel(name: str) -> Panel:
    """Return a panel by name, of a run or of a case.

    Raises:
        BadInput: there is none.
    """
    known = case_panels() if name.startswith(CASE) else panels()
    if name not in known:
        raise unknown("panel", name, known)
    return known[name]


__all__ = [
    "CASE",
    "BadInput",
    "Drawing",
    "Panel",
    "View",
    "caption",
    "case_panels",
    "knob",
    "panel",
    "panels",
    "softening",
    "turned",
]
