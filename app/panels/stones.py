"""How good each path between student and teacher is."""

from typing import Any

from app import theme
from app.panels import Panel, View, caption
from app.panels import _lacks as lacks
from app.panels import _suits as suits
from app.panels._figure import SHARES, line, number
from kdcore.probes.stones import Stones, stones
from kdcore.runs.record import Record


def draw(record: Record, view: View) -> dict[str, Any]:
    found, look = stones(record), view.theme
    colours = {"student": theme.STUDENT[look], "teacher": theme.TEACHER[look]}
    names = [f'<span style="color:{colours.get(name, theme.INK[look])}">{name}</span>' for name in found.names]
    layout = theme.layout(
        look,
        "stones",
        xaxis={"tickmode": "array", "tickvals": list(range(len(names))), "ticktext": names, "showgrid": False}
        | {"range": [-0.5, len(names) - 0.5]},
        yaxis={"title": {"text": "share of the probe samples"}} | SHARES,
    )
    lines = [_line(found, "accuracy", found.accuracy, theme.GOOD[look], found.above)]
    if found.names[-1] == "teacher":
        of_others = found.agreement[:-1]  # the teacher agrees with itself
        lines.append(_line(found, "agreement with the teacher", of_others, theme.DISAGREE[look], ~found.above))
    return {"data": lines, "layout": layout}


def _line(found: Stones, name: str, values: Any, colour: str, above: Any) -> dict[str, Any]:
    numbers = {"text": [number(value, ".1%") for value in values], "textfont": {"color": colour}}
    places = [f"{'top' if high else 'bottom'} center" for high in above]
    mode = {"mode": "lines+markers+text", "textposition": places, "cliponaxis": False, "marker": {"size": 11}}
    hover = f"%{{customdata[0]}}: %{{y:.1%}}<br>KL(T‖·) %{{customdata[1]}} nats<extra>{name}</extra>"
    told = [[stone, number(value, ".3g")] for stone, value in zip(found.names, found.kl_nats, strict=True)]
    return line(name, range(len(values)), values, colour, customdata=told, hovertemplate=hover, **numbers, **mode)


def table(record: Record, _: View) -> dict[str, list[Any]]:
    found = stones(record)
    numbers = {name: getattr(found, name).tolist() for name in ("accuracy", "agreement", "kl_nats")}
    return {"path": list(found.names), **numbers}


PANEL = Panel(
    title="Stepping stones",
    kind="plotly",
    caption=caption(stones),
    order=28,
    wide=False,
    lacks=lacks.first(lacks.answers, lacks.recorded("own_paths")),
    draw=draw,
    table=table,
    suits=suits.records("own_paths"),
)
