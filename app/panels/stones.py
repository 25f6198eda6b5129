"""How good each path between student and teacher is."""

from typing import Any

from app import theme
from app.panels import Panel, View, caption
from app.panels import _lacks as lacks
from app.panels import _suits as suits
from app.panels._figure import number, plain
from kdcore.probes.stones import Stones, stones
from kdcore.record import Record


def draw(record: Record, view: View) -> dict[str, Any]:
    found, look = stones(record), view.theme
    layout = theme.layout(
        look,
        "stones",
        xaxis={"type": "category", "range": [-0.5, len(found.names) - 0.5], "showgrid": False},
        yaxis={"title": {"text": "share of the probe samples"}, "tickformat": ".0%"},
    )
    lines = [_line(found, "accuracy", found.accuracy, theme.GOOD, "top center", look)]
    if found.names[-1] == "teacher":
        lines.append(_line(found, "agreement with the teacher", found.agreement, theme.TEACHER, "bottom center", look))
    return {"data": lines, "layout": layout}


def _line(
    found: Stones, name: str, values: Any, colour: dict[str, str], where: str, look: theme.Theme
) -> dict[str, Any]:
    return {
        "type": "scatter",
        "uid": name,
        "name": name,
        "mode": "lines+markers+text",
        "x": list(found.names),
        "y": plain(values),
        "text": [number(value, ".1%") for value in values],
        "textposition": where,
        "cliponaxis": False,
        "line": {"color": colour[look], "width": 2},
        "marker": {"color": [_own(stone, colour)[look] for stone in found.names], "size": 12},
        "customdata": [number(value, ".3g") for value in found.kl_nats],
        "hovertemplate": f"%{{x}}: %{{y:.1%}}<br>KL(T‖·) %{{customdata}} nats<extra>{name}</extra>",
    }


def _own(stone: str, colour: dict[str, str]) -> dict[str, str]:
    return {"student": theme.STUDENT, "teacher": theme.TEACHER}.get(stone, colour)


def table(record: Record, _: View) -> dict[str, list[Any]]:
    found = stones(record)
    numbers = {name: getattr(found, name).tolist() for name in ("accuracy", "agreement", "kl_nats")}
    return {"path": list(found.names), **numbers}


PANEL = Panel(
    title="From student to teacher",
    kind="plotly",
    caption=caption(stones),
    order=28,
    wide=False,
    lacks=lacks.first(lacks.answers, lacks.recorded("own_paths")),
    draw=draw,
    table=table,
    suits=suits.records("own_paths"),
)
