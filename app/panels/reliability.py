"""Reliability diagram of both networks."""

from typing import Any

from app import theme
from app.panels import Panel, View, caption
from app.panels import _lacks as lacks
from app.panels._figure import diagonal, faint, number, plain
from kdcore.probes.reliability import Calibration, Reliability, reliability
from kdcore.runs.record import Record


def draw(record: Record, view: View) -> dict[str, Any]:
    found, look = reliability(record), view.theme
    traces = [diagonal(look)]
    for name, network, colour in _networks(found):
        traces += _traces(found, network, name, colour[look])
    layout = theme.layout(
        look,
        "reliability",
        barmode="group",
        bargap=0.2,
        xaxis={"anchor": "y2", "title": {"text": "confidence"}, "range": [0, 1], "tickformat": ".0%"},
        yaxis={"title": {"text": "accuracy"}, "domain": [0.3, 1.0], "range": [0, 1.02], "tickformat": ".0%"},
        yaxis2={"title": {"text": "samples"}, "domain": [0.0, 0.2], "nticks": 4},
    )
    return {"data": traces, "layout": layout}


def _networks(found: Reliability) -> list[tuple[str, Calibration, dict[str, str]]]:
    parts = (("teacher", found.teacher, theme.TEACHER), ("student", found.student, theme.STUDENT))
    return [(name, network, colour) for name, network, colour in parts if network is not None]


def _traces(found: Reliability, network: Calibration, name: str, colour: str) -> list[dict[str, Any]]:
    """Gap bars from the diagonal, the curve with discs as large as its bins are full, and the bins as counts."""
    quiet = {"legendgroup": name, "showlegend": False, "name": name}
    bar = {"type": "bar", "x": plain(found.centre), "offsetgroup": name, "marker": {"color": faint(colour, 0.3)}}
    title = f"{name} · ECE {number(network.ece, '.1%')} · NLL {number(network.nll_nats, '.3g')}"
    hover = f"confidence %{{x:.1%}}<br>accuracy %{{y:.1%}}<extra>{name}</extra>"
    gaps = {"uid": f"{name} gap", "y": plain(network.gap), "base": plain(network.confidence), "hoverinfo": "skip"}
    heavy = {"size": plain(network.count), "sizemode": "area", "sizeref": found.fullest / 200, "sizemin": 3}
    curve: dict[str, Any] = {"type": "scatter", "mode": "lines+markers", "marker": heavy}
    curve |= {"line": {"color": colour, "width": 1.5}}
    curve |= {"cliponaxis": False}
    place = {"x": plain(network.confidence), "y": plain(network.accuracy), "hovertemplate": hover}
    counts = {"uid": f"{name} count", "y": plain(network.count), "yaxis": "y2", "marker": {"color": colour}}
    return [
        bar | gaps | quiet,
        {"uid": name, "name": title, "legendgroup": name} | curve | place,
        bar | counts | quiet | {"hovertemplate": f"%{{y}} samples<extra>{name}</extra>"},
    ]


def table(record: Record, _: View) -> dict[str, list[Any]]:
    found = reliability(record)
    columns: dict[str, list[Any]] = {"bin_centre": found.centre.tolist()}
    for name, network, _colour in _networks(found):
        columns |= {
            f"{name}_rows": network.count.tolist(),
            f"{name}_confidence": network.confidence.tolist(),
            f"{name}_accuracy": network.accuracy.tolist(),
        }
    return columns


PANEL = Panel(
    title="Reliability",
    kind="plotly",
    caption=caption(reliability),
    order=50,
    wide=False,
    lacks=lacks.answers,
    draw=draw,
    table=table,
)
