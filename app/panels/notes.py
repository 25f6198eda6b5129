"""What the method tells of itself, over the steps."""

from typing import Any

from app import theme
from app.panels import Panel, View, caption
from app.panels import _lacks as lacks
from app.panels import _suits as suits
from app.panels._figure import line
from kdcore.probes.notes import Notes, notes
from kdcore.runs.record import Record


def draw(record: Record, view: View) -> dict[str, Any]:
    found, look = notes(record), view.theme
    both = bool(found.shares) and bool(found.others)
    share = {"title": {"text": "share"}, "rangemode": "tozero", "domain": [0.56 if both else 0.0, 1.0]}
    other = {"title": {"text": "value"}, "domain": [0.0, 0.44 if both else 1.0]}
    layout = theme.layout(
        look,
        "notes",
        xaxis={"title": {"text": "step"}, "anchor": "y2" if found.others else "y"},
        hovermode="x unified",
        **({"yaxis": share} if found.shares else {}),
        **({"yaxis2": other} if found.others else {}),
    )
    return {"data": _lines(found, look), "layout": layout}


def _lines(found: Notes, look: theme.Theme) -> list[dict[str, Any]]:
    names = [*found.shares, *found.others]
    colours = dict(zip(names, theme.classes(len(names), look), strict=True))
    shares = [line(name, found.step, values, colours[name]) for name, values in found.shares.items()]
    others = [line(name, found.step, values, colours[name], yaxis="y2") for name, values in found.others.items()]
    return [drawn | {"name": drawn["name"].replace("_", " ")} for drawn in shares + others]


def table(record: Record, _: View) -> dict[str, list[Any]]:
    found = notes(record, limit=len(record.steps))
    told = {**found.shares, **found.others}
    return {"step": found.step.tolist()} | {name: values.tolist() for name, values in told.items()}


PANEL = Panel(
    title="Method diagnostics",
    kind="plotly",
    caption=caption(notes),
    order=30,
    wide=False,
    lacks=lacks.notes,
    draw=draw,
    table=table,
    suits=suits.noting,
)
