"""Gradient conflict (tug-of-war): cosine and norms between labels and teacher."""

from typing import Any

from app import theme
from app.panels import Panel, View, caption, softening
from app.panels import _lacks as lacks
from app.panels import _suits as suits
from app.panels._figure import (
    class_axis,
    class_title,
    label_mark,
    note,
    number,
    plain,
    shown_at,
    softened,
    term_colours,
)
from kdcore.probes._rows import trained_temperature
from kdcore.probes.tug import TermGradient, Tug, tug
from kdcore.runs.record import Record


def _found(record: Record, view: View) -> Tug:
    return tug(record, view.sample, softening(view, trained_temperature(record)))


def draw(record: Record, view: View) -> dict[str, Any]:
    found, look = _found(record, view), view.theme
    stripe = label_mark(found.label, look) | {"yref": "y domain"}
    classes = class_axis(found.classes, found.label) | class_title(len(found.classes), found.hidden)
    layout = theme.layout(
        look,
        "tug",
        barmode="group",
        bargap=0.25,
        xaxis=classes,
        yaxis={"title": {"text": "negative gradient on the logit"}, "domain": [0.0, 0.52]},
        xaxis2={"anchor": "y2", "rangemode": "tozero", "showticklabels": False},
        yaxis2={"anchor": "x2", "domain": [0.72, 0.96], "showgrid": False, "autorange": "reversed"},
        shapes=[stripe],
        annotations=[note(_title(found), 0.0, 0.97), note(_text(found, trained_temperature(record)), 0.0, 0.53)],
        legend={"orientation": "h", "x": 0, "y": 1.08, "yanchor": "bottom", "bgcolor": "rgba(0,0,0,0)"},
    )
    pulls = (("labels", found.label_pull, theme.GOOD), ("teacher", found.teacher_pull, theme.TEACHER))
    data = _forces(found, look) + [_bars(found, *pull, look) for pull in pulls]
    return {"data": data, "layout": softened(layout, found.temperature)}


def _forces(found: Tug, look: theme.Theme) -> list[dict[str, Any]]:
    """One bar per loss term: the length of its gradient on all weights."""
    colours = term_colours([term.reads_labels for term in found.terms], look)
    hover = "gradient norm %{x:.3g}<extra>%{y}</extra>"
    longest = max((term.norm for term in found.terms), default=0.0)
    return [
        {
            "type": "bar",
            "uid": f"force {term.name}",
            "orientation": "h",
            "x": plain([term.norm]),
            "y": [term.name],
            "text": [_cosine(term)],
            "textposition": "inside" if term.norm > longest / 2 else "outside",
            "textfont": {"size": 14},
            "insidetextfont": {"size": 14, "color": theme.upon(colour)},  # Plotly's own grey is too faint upon some
            "constraintext": "none",
            "marker": {"color": colour},
            "xaxis": "x2",
            "yaxis": "y2",
            "offsetgroup": "force",
            "showlegend": False,
            "hovertemplate": hover,
        }
        for term, colour in zip(found.terms, colours, strict=True)
    ]


def _cosine(term: TermGradient) -> str:
    against = "" if term.cosine is None else f" · cos {term.cosine:+.2f}"
    return f"{number(term.norm, '.3g')}{against}"


def _bars(found: Tug, name: str, pull: Any, colour: dict[str, str], look: theme.Theme) -> dict[str, Any]:
    """One side's pull on every logit shown; upwards lifts the class."""
    place = {"x": list(range(len(found.classes))), "y": plain(pull), "customdata": list(found.classes)}
    hover = f"%{{customdata}}: %{{y:+.3g}}<extra>{name}</extra>"
    return {"type": "bar", "uid": name, "name": name, "marker": {"color": colour[look]}, "hovertemplate": hover} | place


def _title(found: Tug) -> str:
    if not found.terms:
        return "gradients were not recorded in this frame"
    rest = "" if found.rest_cosine is None else f" · labels with the rest: cos <b>{found.rest_cosine:+.2f}</b>"
    return f"gradient norms{rest}"


def _text(found: Tug, trained: float | None) -> str:
    return f"sample {found.sample} · teacher at {shown_at(found.temperature, trained)}"


def table(record: Record, view: View) -> dict[str, list[Any]]:
    found = _found(record, view)
    return {
        "class": list(found.classes),
        "is_label": [place == found.label for place in range(len(found.classes))],
        "label_pull": found.label_pull.tolist(),
        "teacher_pull": found.teacher_pull.tolist(),
    }


PANEL = Panel(
    title="Gradient conflict (tug-of-war): cosine and norms",
    kind="plotly",
    caption=caption(tug),
    order=70,
    wide=False,
    lacks=lacks.first(lacks.teacher, lacks.answers),
    draw=draw,
    table=table,
    suits=suits.taught,
    softened=True,
)
