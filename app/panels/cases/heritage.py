"""The teacher's gap against the student's, a point a group of rows."""

from typing import Any

import numpy as np

from app import theme
from app.panels import Panel, View, caption
from app.panels._figure import note, plain
from app.panels.cases import _claims
from app.panels.cases import _needs as needs
from kdcore.comparison.calibration_inheritance import Heritage, heritage
from kdcore.comparison.case import Case

OWN = ("teacher", "teacher confidence")  # keys of what it shows itself


def draw(case: Case, view: View) -> dict[str, Any]:
    found, look = _found(case, view), view.theme
    key = "teacher" if found.by_class else "teacher confidence"
    ids = found.group.tolist() if found.by_class else [_claims.ranges(found.edges)[at] for at in found.group.tolist()]
    size = {"size": plain(np.sqrt(found.count)), "sizemode": "diameter", "sizemin": 5,
            "sizeref": max(1.0, float(np.sqrt(found.count.max(initial=1))) / 18)}  # fmt: skip
    hover = "%{text}<br>teacher %{x:+.1%}, student %{y:+.1%}<extra></extra>"
    points: dict[str, Any] = {
        "type": "scatter",
        "mode": "markers",
        "uid": "groups",
        "x": plain(found.teacher),
        "y": plain(found.student),
    }
    points |= {"customdata": ids, "text": _names(case, found), "hovertemplate": hover, "showlegend": False}
    points |= {
        "marker": {"color": theme.STUDENT[look], "opacity": 0.75} | size,
        "meta": {"pick": key + "={customdata}"},
    }
    reach = float(np.abs([found.teacher, found.student]).max(initial=0.01)) * 1.15
    dash = {"color": theme.MUTED[look], "width": 1.5, "dash": "dash"}
    same: dict[str, Any] = {"type": "scatter", "uid": "same", "mode": "lines"}
    same |= {"x": [-reach, reach], "y": [-reach, reach]}
    same |= {"line": dash, "hoverinfo": "skip", "showlegend": False}
    axis = {"tickformat": "+.0%", "range": [-reach, reach], "zerolinecolor": theme.MUTED[look]}
    layout = theme.layout(
        look,
        "heritage",
        margin={"l": 48, "r": 12, "t": 48, "b": 40},
        xaxis=axis | {"title": {"text": "teacher: accuracy − confidence"}},
        yaxis=axis | {"title": {"text": "student: the same, on the same rows"}},
        annotations=[note(_said(found), 0, 1.01)],
    )
    return {"data": [same, points], "layout": layout}


def _found(case: Case, view: View) -> Heritage:
    told = _claims.claims(case, view, *OWN)
    return heritage(told["teacher"], told["student"])


def _names(case: Case, found: Heritage) -> list[str]:
    if found.by_class:
        return [f"teacher says {case.classes[k]}, {n:,} rows" for k, n in zip(found.group, found.count, strict=True)]
    edges = zip(found.edges[found.group], found.edges[found.group + 1], found.count, strict=True)
    return [f"teacher's confidence {a:.2%} to {b:.2%}, {n:,} rows" for a, b, n in edges]


def _said(found: Heritage) -> str:
    groups = "answers of the teacher" if found.by_class else "bins of the teacher's confidence"
    if not np.isfinite(found.correlation):
        return f"{len(found.group)} {groups}: too few for a correlation"
    between = f"[{found.low:.2f}, {found.high:.2f}]"
    chance = " · may be chance" if found.low <= 0 <= found.high else ""
    return f"rank correlation <b>{found.correlation:.2f}</b> {between}{chance}<br>over {len(found.group)} {groups}"


def table(case: Case, view: View) -> dict[str, list[Any]]:
    found = _found(case, view)
    told = {"group": _names(case, found), "rows": found.count.tolist()}
    return told | {"teacher_gap": plain(found.teacher), "student_gap": plain(found.student)}


PANEL = Panel(
    title="Inherited calibration",
    kind="plotly",
    caption=caption(heritage),
    order=240,
    wide=False,
    lacks=needs.answered,
    draw=draw,
    table=table,
)
