"""How far the boundary is, into how many pieces the plane falls, and what both models share of it."""

from typing import Any

import numpy as np

from app import theme
from app.panels import Panel, View, caption
from app.panels._figure import brief, note, number, plain
from app.panels.cases import _needs as needs
from app.panels.cases.plane import found, wanted
from kdcore.comparison.case import Case
from kdcore.comparison.plane import SMALLEST, Measures, interval, measures

PART = "planes"
MOST = 16  # classes with a bar, those of which the two share least


def _measured(case: Case, view: View) -> Measures:
    plane = found(case, view)
    if "rows" in plane:
        return measures(plane, len(case.classes), plane["rows"], plane["corners"])
    assert case.pictures is not None
    rows = np.array([row for row in wanted(view) if row is not None and row < len(case.rows)])
    return measures(plane, len(case.classes), rows, np.asarray(case.pictures[rows], dtype=np.float64))


def draw(case: Case, view: View) -> dict[str, Any]:
    told, look = _measured(case, view), view.theme
    sides = ("teacher", "student")[-told.margin.shape[1] :]
    traces = [trace for place, side in enumerate(sides) for trace in _side(told, place, side, look)]
    known = np.flatnonzero(np.isfinite(told.iou))
    worst = known[np.argsort(told.iou[known], kind="stable")[:MOST]][::-1]
    if len(worst):
        traces.append(_shared(case, told, worst, look))
    names = [case.classes[k] for k in worst]
    named = {"tickvals": names, "ticktext": [brief(name) for name in names]}
    layout = theme.layout(
        look, "margins", barmode="group", bargap=0.3, **_axes(told, len(case.about.shape) == 3, named)
    )
    layout["annotations"] = [note(f"<b>{text}</b>", x, 1.0) for text, x in _headings(len(worst) > 0)]
    layout["annotations"].append(note(_said(case, told), 0.0, -0.16, yanchor="top", font={"size": 13}))
    layout |= {"legend": layout["legend"] | {"y": 1.1}, "margin": {"l": 48, "r": 12, "t": 40, "b": 84}}
    return {"data": traces, "layout": layout}


def _side(told: Measures, place: int, side: str, look: theme.Theme) -> list[dict[str, Any]]:
    """Margins and pieces of one model."""
    colour = {"color": (theme.TEACHER if side == "teacher" else theme.STUDENT)[look]}
    style = {"type": "bar", "name": side, "legendgroup": side, "marker": colour}
    margin = np.where(np.isfinite(told.margin[:, place]), told.margin[:, place], np.nan)
    rows = [str(row) for row in told.rows]
    hover = f"{side}, row %{{x}}: %{{y:.3g}} to the nearest other answer<extra></extra>"
    pick = {"customdata": told.rows.tolist(), "meta": {"pick": "sample={customdata}"}}
    pieces = {"x": ["pieces"], "y": [int(told.fragments[place])], "xaxis": "x2", "yaxis": "y2", "showlegend": False}
    return [
        style | {"uid": f"{side} margin", "x": rows, "y": plain(margin), "hovertemplate": hover} | pick,
        style | {"uid": f"{side} pieces", "hovertemplate": f"{side}: %{{y}} pieces<extra></extra>"} | pieces,
    ]


def _shared(case: Case, told: Measures, worst: np.ndarray, look: theme.Theme) -> dict[str, Any]:
    names = {"y": [case.classes[k] for k in worst], "x": plain(told.iou[worst]), "customdata": worst.tolist()}
    style = {"type": "bar", "orientation": "h", "uid": "iou", "name": "shared", "showlegend": False}
    axes = {
        "xaxis": "x3",
        "yaxis": "y3",
        "marker": {"color": theme.DISAGREE[look]},
        "meta": {"pick": "true={customdata}"},
    }
    return style | names | axes | {"hovertemplate": "%{y}: %{x:.1%} of what either calls so<extra></extra>"}


def _axes(told: Measures, pixels: bool, named: dict[str, Any]) -> dict[str, Any]:
    whole = {"tickformat": ",d", "rangemode": "tozero"}
    return {
        "xaxis": {"domain": [0.0, 0.36], "type": "category", "tickangle": 0},
        "yaxis": {"rangemode": "tozero", "title": {"text": "distance, pixels from 0 to 1" if pixels else "distance"}},
        "xaxis2": {"domain": [0.44, 0.56], "anchor": "y2", "type": "category", "showticklabels": False},
        "yaxis2": whole | {"anchor": "x2", "dtick": max(1, int(told.fragments.max()) // 4)},
        "xaxis3": {"domain": [0.72, 1.0], "anchor": "y3", "range": [0, 1], "tickformat": ".0%"},
        "yaxis3": {"anchor": "x3", "type": "category"} | named,
    }


def _headings(shared: bool) -> list[tuple[str, float]]:
    two = [("Way to the boundary", 0.0), ("Pieces", 0.44)]
    return [*two, ("Shared of each class", 0.72)] if shared else two


def _said(case: Case, told: Measures) -> str:
    same = f"the same answer on {number(told.agreement, '.1%')} of this plane; " if len(told.fragments) == 2 else ""
    text = f"{same}pieces of fewer than {SMALLEST} grid points are left out"
    others = case.part(PART)
    if not others:
        return text
    mean, low, high = interval(others["agreement"])
    between = f" (95 % interval {max(0.0, low):.1%} to {min(1.0, high):.1%})" if high > low else ""
    teacher, student = (interval(others["fragments"][:, side].astype(np.float64))[0] for side in (0, 1))
    return (
        f"{text}<br>{len(others['agreement'])} planes through random rows: the same answer on {mean:.1%}{between}, "
        f"{teacher:.1f} pieces of the teacher's, {student:.1f} of the student's"
    )


def table(case: Case, view: View) -> dict[str, list[Any]]:
    told = _measured(case, view)
    sides = ("teacher", "student")[-told.margin.shape[1] :]
    rows: dict[str, list[Any]] = {"row": told.rows.tolist()}
    return rows | {f"{side}_margin": told.margin[:, place].tolist() for place, side in enumerate(sides)}


PANEL = Panel(
    title="Margins, regions and overlap",
    kind="plotly",
    caption=caption(measures),
    order=410,
    wide=True,
    lacks=needs.pictures,
    draw=draw,
    table=table,
)
