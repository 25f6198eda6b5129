"""What the panels share: numbers as JSON carries them, lines, axes of classes, colours of loss terms."""

from collections.abc import Sequence
from math import isfinite
from typing import Any

import numpy as np

from app import theme
from app.theme import Theme
from kdcore.runs.record import Record

_OTHERS = (  # loss terms that distil, after the first, which has the teacher's colour
    {"light": "#6A51A3", "dark": "#B7A6E0"},
    {"light": "#00767C", "dark": "#5CCFD6"},
    {"light": "#7A5C2E", "dark": "#CDB38B"},
)
SHARES = {"tickformat": ".1~%", "autorangeoptions": {"clipmin": 0.0, "clipmax": 1.02}}  # no share is outside of 0 to 1
QUANTITIES = (  # what is no network's: terms of a source that learns before the student does, traffic
    {"light": "#6B7A1E", "dark": "#C3CF6B"},
    {"light": "#9C4A3C", "dark": "#E39A8B"},
    {"light": "#4B5AA8", "dark": "#9FAAEF"},
)


def plain(values: Any) -> list[Any]:
    """Numbers as JSON lists, floats at five significant digits; what is not finite is null, a gap on screen."""
    array = np.asarray(values)
    return [plain(row) for row in array] if array.ndim > 1 else [_short(value) for value in array.tolist()]


def _short(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return float(f"{value:.5g}") if isfinite(value) else None


def number(value: float, form: str) -> str:
    """Return a number in a text; a dash where there is none."""
    return format(value, form) if isfinite(value) else "∞" if value > 0 else "–"


def faint(colour: str, opacity: float) -> str:
    """Return a hex colour, see-through."""
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"


def line(name: str, x: Any, y: Any, colour: str, **more: Any) -> dict[str, Any]:
    """Return a line trace, visible from its first point on."""
    style = {"color": colour, "width": 2.5, **more.pop("line", {})}
    mode = "lines" if len(x) > 1 else "markers"
    return {
        "type": "scatter",
        "uid": name,
        "name": name,
        "mode": mode,
        "x": plain(x),
        "y": plain(y),
        "line": style,
    } | more


def note(text: str, x: float, y: float, **more: Any) -> dict[str, Any]:
    """Return a text without an arrow; on paper coordinates unless told, and there it wraps to the figure's width."""
    where = {"xref": "paper", "yref": "paper", "xanchor": "left", "yanchor": "bottom"}
    return {"text": text, "x": x, "y": y, "showarrow": False, "align": more.get("xanchor", "left")} | where | more


def brief(name: str, most: int = 14) -> str:
    """Return a name for a tick: of a long one the beginning and the end, where classes differ."""
    return name if len(name) <= most else f"{name[: most - 5].rstrip()}…{name[-4:].lstrip()}"


def class_axis(names: Sequence[str], label: int | None = None, most: int = 25) -> dict[str, Any]:
    """Ticks of an axis with one place per class, the label in bold; at most about `most` are named."""
    named = range(0, len(names), -(-len(names) // most))
    text = [f"<b>{brief(names[k])}</b>" if k == label else brief(names[k]) for k in named]
    ticks = {"tickmode": "array", "tickvals": list(named), "ticktext": text, "autotickangles": [0, -60, -90]}
    return ticks | {"range": [-0.5, len(names) - 0.5]}


def lines(name: str, most: int = 9) -> str:
    """Return a name for a narrow place: a line for each word, cut where that is too long."""
    return "<br>".join(word if len(word) <= most else f"{word[: most - 1]}…" for word in name.split())


def label_mark(position: int, look: Theme) -> dict[str, Any]:
    """Return a stripe behind the true class."""
    across = {"type": "rect", "xref": "x", "yref": "paper", "y0": 0, "y1": 1, "layer": "below", "line": {"width": 0}}
    return across | {"x0": position - 0.5, "x1": position + 0.5, "fillcolor": faint(theme.GOOD[look], 0.16)}


def term_colours(reads_labels: Sequence[bool], look: Theme) -> list[str]:
    """Labels are the colour of what is right, the first term that distils is the teacher's, others follow."""
    distilling = iter((theme.TEACHER, *_OTHERS, *(theme.MUTED for _ in reads_labels)))
    return [theme.GOOD[look] if reads else next(distilling)[look] for reads in reads_labels]


def lead_colours(count: int, look: Theme) -> list[str]:
    """Colours of what a source minimises alone."""
    return [colour[look] for colour in (*QUANTITIES, *(theme.MUTED for _ in range(count)))][:count]


def beginning(record: Record, look: Theme) -> list[dict[str, Any]]:
    """Return a vertical line at the student's first step, where a source learns alone before; its name is in the
    legend.
    """
    lead = record.started.lead if record.started else 0
    if not lead:
        return []
    place = {"type": "line", "xref": "x", "yref": "paper", "x0": lead, "x1": lead, "y0": 0, "y1": 1}
    style = {"line": {"color": theme.MUTED[look], "width": 1.5, "dash": "dot"}}
    return [place | style | {"name": "student starts", "showlegend": True, "legendrank": 2000}]


def below_start(axis: dict[str, Any], top: float | None) -> dict[str, Any]:
    """Return an axis that the first values would dominate, up to `top` only; `start_note` says where the line comes
    from.
    """
    return axis if top is None else axis | {"range": [0, top]}


def start_note(top: float | None, first: Any, steps: Any, place: str = "y") -> list[dict[str, Any]]:
    """Return the first of some values (S,) where the axis named `place` ends below it, in its upper right corner."""
    if top is None:
        return []
    where = {"yref": f"{place} domain", "xanchor": "right", "yanchor": "top", "font": {"size": 12}}
    return [note(f"↑ {number(float(first[0]), '.3g')} at step {int(steps[0]):,}", 1.0, 1.0, **where)]


def shown_at(temperature: float, trained: float | None) -> str:
    """Return the temperature of the display, and the training's where it is another one."""
    apart = f" (training {trained:g})" if trained not in (None, temperature) else ""
    return f"τ = {temperature:g}{apart}"


def softened(layout: dict[str, Any], temperature: float) -> dict[str, Any]:
    """Return the layout of a figure that shows probabilities at a temperature, which the card's slider reads off it."""
    return layout | {"meta": {**layout.get("meta", {}), "temperature": temperature}}


def class_title(shown: int, hidden: int) -> dict[str, Any]:
    """Title of an axis of classes; it says so when not all are shown."""
    text = f"{shown} of {shown + hidden} classes, likeliest and label" if hidden else "class"
    return {"title": {"text": text}}


def diagonal(look: Theme) -> dict[str, Any]:
    """Where a model would be right as often as it claims."""
    dash = {"color": theme.MUTED[look], "width": 1.5, "dash": "dash"}
    line = {"type": "scatter", "mode": "lines", "x": [0, 1], "y": [0, 1], "line": dash, "hoverinfo": "skip"}
    return {"uid": "diagonal", "name": "perfect", "showlegend": False} | line
