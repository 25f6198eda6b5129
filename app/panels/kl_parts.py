"""The two parts of the distance to the teacher, over the steps."""

from typing import Any

from app import theme
from app.panels import Panel, View, caption
from app.panels import _lacks as lacks
from app.panels import _suits as suits
from app.panels._figure import faint, line
from kdcore.probes.kl_parts import kl_parts
from kdcore.record import Record


def draw(record: Record, view: View) -> dict[str, Any]:
    found, look = kl_parts(record), view.theme
    layout = theme.layout(
        look,
        "kl parts",
        xaxis={"title": {"text": "step"}},
        yaxis={"title": {"text": "KL(T‖S), nats"}, "rangemode": "tozero"},
        hovermode="x unified",
    )
    parts = (("true class", found.target, theme.GOOD), ("other classes", found.rest, theme.TEACHER))
    return {"data": [_area(name, found.step, values, colour[look]) for name, values, colour in parts], "layout": layout}


def _area(name: str, step: Any, values: Any, colour: str) -> dict[str, Any]:
    hover = f"%{{y:.3g}} nats<extra>{name}</extra>"
    return line(name, step, values, colour, stackgroup="kl", fillcolor=faint(colour, 0.35), hovertemplate=hover)


def table(record: Record, _: View) -> dict[str, list[Any]]:
    found = kl_parts(record)
    return {"step": found.step.tolist(), "target_nats": found.target.tolist(), "rest_nats": found.rest.tolist()}


PANEL = Panel(
    title="Distance to the teacher",
    kind="plotly",
    caption=caption(kl_parts),
    order=82,
    wide=False,
    lacks=lacks.first(lacks.teacher, lacks.evaluations),
    draw=draw,
    table=table,
    suits=suits.taught,
)
