"""How the temperatures that samples have of their own are spread."""

from typing import Any

from app import theme
from app.panels import Panel, View, caption
from app.panels import _lacks as lacks
from app.panels import _suits as suits
from app.panels._figure import note, number, plain
from kdcore.probes.temperatures import Temperatures, temperatures
from kdcore.runs.record import Record


def draw(record: Record, view: View) -> dict[str, Any]:
    found, look = temperatures(record), view.theme
    layout = theme.layout(
        look,
        "temperatures",
        barmode="stack",
        bargap=0.08,
        xaxis={"title": {"text": "temperature"}},
        yaxis={"title": {"text": "samples"}, "rangemode": "tozero"},
        annotations=[note(_text(found), 0.0, 1.0)],
        legend={"orientation": "h", "x": 0, "y": 1.09, "yanchor": "bottom", "bgcolor": "rgba(0,0,0,0)"},
    )
    sides = (("student right", found.right, theme.GOOD), ("student wrong", found.wrong, theme.DISAGREE))
    return {"data": [_bars(found, name, count, colour[look]) for name, count, colour in sides], "layout": layout}


def _bars(found: Temperatures, name: str, count: Any, colour: str) -> dict[str, Any]:
    place = {"x": plain(found.centre), "y": plain(count), "width": found.width * 0.92}
    hover = f"τ about %{{x:.3g}}: %{{y}} samples<extra>{name}</extra>"
    return {"type": "bar", "uid": name, "name": name, "marker": {"color": colour}, "hovertemplate": hover} | place


def _text(found: Temperatures) -> str:
    low, middle, high = (number(value, ".3g") for value in (found.lowest, found.mean, found.highest))
    return f"mean <b>τ = {middle}</b> · from {low} to {high}"


def table(record: Record, _: View) -> dict[str, list[Any]]:
    found = temperatures(record)
    return {
        "temperature": found.centre.tolist(),
        "rows_right": found.right.tolist(),
        "rows_wrong": found.wrong.tolist(),
    }


PANEL = Panel(
    title="Temperature per sample",
    kind="plotly",
    caption=caption(temperatures),
    order=24,
    wide=False,
    lacks=lacks.first(lacks.answers, lacks.recorded("own_temperature")),
    draw=draw,
    table=table,
    suits=suits.records("own_temperature"),
)
