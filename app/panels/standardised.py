"""Logits raw, and with the scale of samples or of classes taken out."""

from typing import Any

from app import theme
from app.panels import Panel, View, caption
from app.panels import _lacks as lacks
from app.panels import _suits as suits
from app.panels._cells import bare, cells, columns, heading, named_axis, numbered
from app.panels._figure import number
from kdcore.probes.standardised import Standardised, standardised
from kdcore.runs.record import Record

WAYS = {"raw": "raw", "by_row": "by sample", "by_column": "by class"}
COLOURS = {"teacher": theme.TEACHER, "student": theme.STUDENT}
DOMAINS = columns(3, 0.03)
DEVIATIONS = 3.0  # beyond which standardised logits have one colour


def draw(record: Record, view: View) -> dict[str, Any]:
    found, look = standardised(record), view.theme
    places = [(name, way) for name in found.networks for way in WAYS]
    axes: dict[str, Any] = {}
    for place, (name, way) in enumerate(places, 1):
        axes |= _axes(found, place, name, list(WAYS).index(way), look)
    titles = [heading(way, domain, theme.INK, look) for way, domain in zip(WAYS.values(), DOMAINS, strict=True)]
    layout = theme.layout(look, "standardised", showlegend=False, annotations=titles, **axes)
    layout["margin"] |= {"t": 28}
    data = [_map(found, name, way, place, look) for place, (name, way) in enumerate(places, 1)]
    return {"data": data, "layout": layout}


def _map(found: Standardised, name: str, way: str, place: int, look: theme.Theme) -> dict[str, Any]:
    network = found.networks[name]
    bound = network.largest if way == "raw" else DEVIATIONS
    names = {"x": list(found.classes), "y": _samples(found)}
    hover = f"%{{y}}<br>class %{{x}}: %{{z:.3g}}<extra>{name}, {WAYS[way]}</extra>"
    shown = cells(f"{name} {way}", getattr(network, way), theme.diverging(look), (-bound, bound), place)
    return shown | names | {"hovertemplate": hover}


def _samples(found: Standardised) -> list[str]:
    return [f"sample {row}, {label}" for row, label in zip(found.rows, found.labels, strict=True)]


def _axes(found: Standardised, place: int, name: str, column: int, look: theme.Theme) -> dict[str, Any]:
    """Axes of one heat-map; classes are named below the last row only, networks left of the first column."""
    height, last = 1 / len(found.networks), name == list(found.networks)[-1]
    top = 1 - list(found.networks).index(name) * height
    across = named_axis(found.classes, most=10) | {"domain": DOMAINS[column], "anchor": numbered("y", place)}
    across |= {"title": {"text": "class"}} if last else {"showticklabels": False}
    down: dict[str, Any] = {"domain": [top - height + 0.03, top], "type": "category"}
    down |= {"anchor": numbered("x", place), "range": [len(found.rows) - 0.5, -0.5]}
    if column == 0:
        title = f"{name[0].upper()} · σ = {number(found.networks[name].spread, '.3g')}"
        down |= {"title": {"text": title, "font": {"color": COLOURS[name][look]}}}
    sides = {numbered("xaxis", place): across, numbered("yaxis", place): down | {"showticklabels": False}}
    return {side: bare(look) | axis for side, axis in sides.items()}


def table(record: Record, _: View) -> dict[str, list[Any]]:
    found = standardised(record)
    columns: dict[str, list[Any]] = {
        "sample": [int(row) for row in found.rows for _ in found.classes],
        "true_class": [label for label in found.labels for _ in found.classes],
        "class": list(found.classes) * len(found.rows),
    }
    for name, network in found.networks.items():
        columns |= {f"{name}_{way}": getattr(network, way).ravel().tolist() for way in WAYS}
    return columns


PANEL = Panel(
    title="Logit scale",
    kind="plotly",
    caption=caption(standardised),
    order=26,
    wide=True,
    lacks=lacks.answers,
    draw=draw,
    table=table,
    suits=suits.standardising,
)
