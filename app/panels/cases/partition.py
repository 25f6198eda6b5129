"""The five parts of the rows, and how they lie in each class."""

from typing import Any

import numpy as np

from app import theme
from app.panels import Panel, View, caption
from app.panels._figure import note, number, plain
from app.panels.cases import _needs as needs
from kdcore.cases.case import PARTS, Case
from kdcore.cases.choosing import chosen
from kdcore.cases.partition import partition

COLOURS = (theme.GOOD, theme.TEACHER, theme.STUDENT, theme.MUTED, theme.DISAGREE)
MOST = 24  # classes with a bar: those with the largest share of rows outside "both right"


def draw(case: Case, view: View) -> dict[str, Any]:
    look = view.theme
    found = partition(case.rows, chosen(case, view.select))
    total = np.maximum(found.by_class.sum(1), 1)
    shares = found.by_class / total[:, None]
    worst = np.argsort(shares[:, 0], kind="stable")[:MOST]
    worst = worst[found.by_class[worst].sum(1) > 0][::-1]
    names = [case.classes[k] for k in worst]
    traces = []
    for place, (part, said) in enumerate(PARTS.items()):
        style = {"type": "bar", "orientation": "h", "marker": {"color": COLOURS[place][look]}, "legendgroup": part}
        whole = {"x": plain([found.counts[place] / max(found.rows, 1)]), "y": [""], "customdata": [part]}
        title = f"{said}: {found.counts[place]:,}"
        traces.append(style | whole | {"uid": part, "name": title, "meta": {"pick": "part={customdata}"},
                                       "hovertemplate": f"{title} (%{{x:.1%}})<extra></extra>"})  # fmt: skip
        ids = [f"{part};true={k}" for k in worst]
        bars = {"x": plain(shares[worst, place]), "y": names, "customdata": ids, "xaxis": "x2", "yaxis": "y2"}
        bars |= {
            "text": plain(found.by_class[worst, place]),
            "textposition": "none",
            "meta": {"pick": "part={customdata}"},
        }
        hover = f"%{{y}} · {said}: %{{text}} (%{{x:.1%}})<extra></extra>"
        traces.append(
            style | bars | {"uid": f"{part} by class", "name": said, "showlegend": False} | {"hovertemplate": hover}
        )
    layout = theme.layout(
        look,
        "partition",
        barmode="stack",
        bargap=0.15,
        xaxis={"domain": [0, 1], "anchor": "y", "range": [0, 1], "visible": False},
        yaxis={"domain": [0.9, 1.0], "visible": False},
        xaxis2={"anchor": "y2", "range": [0, 1], "tickformat": ".0%", "title": {"text": "share of each class's rows"}},
        yaxis2={"domain": [0.0, 0.78], "automargin": True, "dtick": 1},
        annotations=[note(_said(found), 0.0, 0.8, font={"size": 14})],
    )
    layout["legend"] |= {"traceorder": "normal"}
    return {"data": traces, "layout": layout}


def _said(found: Any) -> str:
    text = f"same answer <b>{number(found.agreement, '.1%')}</b>"
    if np.isfinite(found.copied):
        text += f" · of the teacher's errors copied <b>{found.copied:.0%}</b>, by habit alone {found.expected:.0%}"
    return text


def table(case: Case, view: View) -> dict[str, list[Any]]:
    found = partition(case.rows, chosen(case, view.select))
    columns: dict[str, list[Any]] = {"true_class": list(case.classes)}
    return columns | {part: found.by_class[:, place].tolist() for place, part in enumerate(PARTS)}


PANEL = Panel(
    title="Who is right",
    kind="plotly",
    caption=caption(partition),
    order=10,
    wide=False,
    lacks=needs.answered,
    draw=draw,
    table=table,
)
