"""The five parts of the rows, and how they lie in each class."""

from typing import Any

import numpy as np

from app import theme
from app.panels import Panel, View, caption
from app.panels._figure import brief, plain
from app.panels.cases import _needs as needs
from kdcore.comparison.agreement import Partition, partition
from kdcore.comparison.case import PARTS, Case
from kdcore.comparison.selection import chosen, value
from kdcore.probes._numerics import Ints

COLOURS = (theme.GOOD, theme.TEACHER, theme.STUDENT, theme.MUTED, theme.DISAGREE)
OWN = ("part", "true")  # keys of what it shows itself
DIM = 0.35  # opacity of what is not selected
NAMED = 12  # classes up to which each has its name written
MOST = 16  # classes with a bar: those with the largest share of rows outside "both right"


def draw(case: Case, view: View) -> dict[str, Any]:
    found, look = partition(case.rows, chosen(case, view.select, *OWN)), view.theme
    worst = _worst(found)
    names = [case.classes[k] for k in worst][:: 1 if len(worst) <= NAMED else 2]
    layout = theme.layout(
        look,
        "partition",
        barmode="stack",
        bargap=0.15,
        xaxis={"domain": [0, 1], "anchor": "y", "range": [0, 1], "visible": False},
        yaxis={"domain": [0.93, 1.0], "automargin": True, "type": "category"},
        xaxis2={"anchor": "y2", "range": [0, 1], "tickformat": ".0%", "title": {"text": "share of each class's rows"}},
        yaxis2={
            "domain": [0.0, 0.88],
            "automargin": True,
            "type": "category",
            "tickvals": names,
            "ticktext": [brief(name) for name in names],
        },
    )
    layout["legend"] |= {"traceorder": "normal"}
    traces = []
    for place, (part, said) in enumerate(PARTS.items()):
        style: dict[str, Any] = {"type": "bar", "orientation": "h", "legendgroup": part}
        strong = _strengths(part, worst, view.select)
        style |= {"marker": {"color": COLOURS[place][look], "opacity": strong}, "meta": {"pick": "part={customdata}"}}
        traces += [
            style | _whole(found, place, said) | {"marker": style["marker"] | {"opacity": max(strong, default=1)}}
        ]
        traces += [style | _by_class(case, found, worst, place, said)]
    return {"data": traces, "layout": layout}


def _worst(found: Partition) -> Ints:
    """Classes by their rows outside "both right", the worst last, which is drawn on top."""
    total = found.by_class.sum(1)
    order: Ints = np.argsort(found.by_class[:, 0] / np.maximum(total, 1), kind="stable")[:MOST]
    worst: Ints = order[total[order] > 0][::-1]
    return worst


def _strengths(part: str, classes: Ints, select: str) -> list[float]:
    """How strongly the bar of each class is drawn: what is not selected is dim."""
    other = value(select, "part") not in (None, part)
    meant = value(select, "true")
    return [DIM if other or meant not in (None, str(k)) else 1.0 for k in classes.tolist()]


def _whole(found: Partition, place: int, said: str) -> dict[str, Any]:
    part, count = list(PARTS)[place], int(found.counts[place])
    name = {
        "uid": part,
        "name": f"{said}: {count:,}",
        "hovertemplate": f"{said}: {count:,} (%{{x:.1%}})<extra></extra>",
    }
    return name | {"x": [count / max(found.rows, 1)], "y": [f"all {found.rows:,}"], "customdata": [part]}


def _by_class(case: Case, found: Partition, classes: Ints, place: int, said: str) -> dict[str, Any]:
    part, counts = list(PARTS)[place], found.by_class[classes]
    shares = counts[:, place] / np.maximum(counts.sum(1), 1)
    bars = {"x": plain(shares), "y": [case.classes[k] for k in classes], "xaxis": "x2", "yaxis": "y2"}
    told = {"text": counts[:, place].tolist(), "textposition": "none", "showlegend": False}
    hover = {"hovertemplate": f"%{{y}} · {said}: %{{text}} (%{{x:.1%}})<extra></extra>"}
    ids = [f"{part};true={k}" for k in classes.tolist()]
    return bars | told | hover | {"uid": f"{part} by class", "name": said, "customdata": ids}


def table(case: Case, view: View) -> dict[str, list[Any]]:
    found = partition(case.rows, chosen(case, view.select, *OWN))
    columns: dict[str, list[Any]] = {"true_class": list(case.classes)}
    return columns | {part: found.by_class[:, place].tolist() for place, part in enumerate(PARTS)}


PANEL = Panel(
    title="Agreement and correctness",
    kind="plotly",
    caption=caption(partition),
    order=10,
    wide=False,
    lacks=needs.answered,
    draw=draw,
    table=table,
)
