"""The curves of a method as Plotly figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app import theme
from app.panels._figure import class_axis, label_mark, line, plain, term_colours
from app.theme import Theme
from kdcore.explain.examples import CLASSES, REACH, Example

Curves = Mapping[str, Any]
Figure = dict[str, Any]


def two(found: Curves, example: Example, look: Theme, other: str | None) -> Figure:
    """Loss above, push on the true logit below, over the student's logit gap; that of the `other` one is marked."""
    below = {"xaxis": "x", "yaxis": "y2", "showlegend": False}
    push = line("negative gradient", found["x"], found["push"], theme.STUDENT[look], **below)
    marks = [_upright(example.gap, look, other)] if other else []
    layout = theme.layout(
        look,
        "two",
        xaxis={
            "title": {"text": "student's logit of A minus its logit of B"},
            "range": [-REACH, REACH],
            "anchor": "y2",
        },
        yaxis={"title": {"text": "loss"}, "domain": [0.46, 1.0], "rangemode": "tozero"},
        yaxis2={
            "title": {"text": f"neg. gradient, logit {CLASSES[min(example.label, 1)]}"},
            "domain": [0.0, 0.36],
        },
        shapes=[mark for mark, _ in marks],
        annotations=[text for _, text in marks],
        hovermode="x unified",
    )
    return {"data": [*_summands(found, look), push], "layout": layout}


def features(found: Curves, look: Theme) -> Figure:
    """Each term and their total over the share of the way to the teacher."""
    layout = theme.layout(
        look,
        "features",
        xaxis={"title": {"text": "random weights (0) to the teacher's (1)"}, "range": [0, 1]},
        yaxis={"title": {"text": "loss"}, "rangemode": "tozero"},
        hovermode="x unified",
    )
    return {"data": _summands(found, look), "layout": layout}


def five(found: Curves, example: Example, look: Theme, other: str | None) -> Figure:
    """Probabilities above, and below which classes each term pushes up or down."""
    terms = list(found["push"])
    colours = term_colours([key == "labels" for key in terms], look)
    above = {"xaxis": "x", "yaxis": "y2"}
    sides = (
        ("teacher", other or "", theme.TEACHER[look]),
        ("target", "target", theme.DISAGREE[look]),
        ("student", "student", theme.STUDENT[look]),
    )
    bars = [_bars(name, found[key], colour, **above) for key, name, colour in sides if found.get(key)]
    pushes = [
        _bars(f"negative gradient: {key}", found["push"][key], colour, alignmentgroup="push", offsetgroup="push")
        for key, colour in zip(terms, colours, strict=True)
    ]
    axis = class_axis(CLASSES, example.label)
    layout = theme.layout(
        look,
        "five",
        barmode="relative",
        bargap=0.25,
        xaxis=axis | {"title": {"text": "class"}},
        yaxis={"title": {"text": "negative gradient on the logit"}, "domain": [0.0, 0.46]},
        yaxis2={"title": {"text": f"probability, T = {found['softened']:.3g}"}, "domain": [0.56, 1.0], "range": [0, 1]},
        shapes=[label_mark(example.label, look)],
    )
    for place, bar in enumerate(bars):
        bar["offsetgroup"] = str(place)
    return {"data": bars + pushes, "layout": layout}


def _bars(name: str, values: Any, colour: str, **more: Any) -> dict[str, Any]:
    hover = f"%{{y:.3g}}<extra>{name}</extra>"
    place = {"x": list(range(len(values))), "y": plain(values), "marker": {"color": colour}, "hovertemplate": hover}
    return {"type": "bar", "uid": name, "name": name} | place | more


def _summands(found: Curves, look: Theme) -> list[dict[str, Any]]:
    """Return a line for each weighted term, and one for the total where it is not the same."""
    terms = found["terms"]
    colours = term_colours([key == "labels" for key in terms], look)
    lines = [line(key, found["x"], terms[key], colour) for key, colour in zip(terms, colours, strict=True)]
    whole = line("total", found["x"], found["total"], theme.INK[look], line={"width": 1.5, "dash": "dot"})
    return [*lines, whole] if len(lines) > 1 else lines


def _upright(x: float, look: Theme, text: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a vertical line through both plots, and what it marks."""
    across = {"type": "line", "xref": "x", "yref": "paper", "x0": x, "x1": x, "y0": 0, "y1": 1}
    note = {"x": x, "xref": "x", "y": 1, "yref": "paper", "yanchor": "top", "text": text, "showarrow": False}
    side = {
        "xanchor": "right" if x > 0 else "left",
        "xshift": -6 if x > 0 else 6,
        "font": {"color": theme.TEACHER[look]},
    }
    return across | {"line": {"color": theme.TEACHER[look], "dash": "dash", "width": 1.5}}, note | side
