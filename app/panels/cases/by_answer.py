"""Over- and under-confidence by the class that is answered."""

from typing import Any

import numpy as np

from app import theme
from app.panels import Panel, View, caption
from app.panels._cells import named_axis
from app.panels._figure import plain
from app.panels.cases import _claims
from app.panels.cases._words import SMALL
from kdcore.comparison.calibration import ByAnswer, by_answer
from kdcore.comparison.case import Case

OWN = ("student", "teacher")  # keys of what it shows itself
MOST = 12  # classes that are shown: those in which the student is furthest off
LEAST = 5  # rows below which a class is left out


def draw(case: Case, view: View) -> dict[str, Any]:
    found, look = _found(case, view), view.theme
    student = found["student"]
    known = np.flatnonzero(student.count >= LEAST)
    shown = known[np.argsort(-np.abs(student.gap[known]), kind="stable")][:MOST][::-1]
    traces = [_trace(case, name, one, shown) for name, one in found.items()]
    for trace, name in zip(traces, found, strict=True):
        trace["marker"] |= {"color": _claims.COLOURS[name][look]}
        trace["error_x"] |= {"color": _claims.COLOURS[name][look]}
    left_out = len(case.classes) - len(shown)
    said = f"accuracy − confidence{f'<br>{left_out} more classes, less off or rare' if left_out else ''}"
    names = named_axis([case.classes[k] for k in shown], most=MOST) | {"automargin": True}
    layout = theme.layout(
        look,
        "by answer",
        xaxis={"title": {"text": said}, "tickformat": "+.0%", "zerolinewidth": 2, "zerolinecolor": theme.MUTED[look]},
        yaxis=names | {"tickfont": {"size": SMALL}},
    )
    layout["margin"] |= {"b": 60}
    return {"data": traces, "layout": layout}


def _found(case: Case, view: View) -> dict[str, ByAnswer]:
    return {name: by_answer(one) for name, one in _claims.claims(case, view, *OWN).items()}


def _trace(case: Case, name: str, one: ByAnswer, shown: np.ndarray) -> dict[str, Any]:
    key = "teacher" if name == "teacher" else "student"
    points = {"x": plain(one.gap[shown]), "y": [case.classes[k] for k in shown], "customdata": shown.tolist()}
    look = {"type": "scatter", "mode": "markers", "marker": {"size": 9}, "uid": name, "name": _claims.NAMES[name]}
    bars = {"type": "data", "symmetric": False, "thickness": 1, "width": 0}
    bars |= {"array": plain((one.high - one.gap)[shown]), "arrayminus": plain((one.gap - one.low)[shown])}
    said = [f"confidence {c:.1%}, right {a:.1%} of {n:,} rows" for c, a, n in
            zip(one.confidence[shown], one.accuracy[shown], one.count[shown], strict=True)]  # fmt: skip
    hover = f"%{{y}}: %{{text}}<extra>{_claims.NAMES[name]}</extra>"
    return (
        look | points | {"error_x": bars, "text": said, "hovertemplate": hover, "meta": {"pick": key + "={customdata}"}}
    )


def table(case: Case, view: View) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {"answer": list(case.classes)}
    for name, one in _found(case, view).items():
        columns |= {f"{name}_rows": one.count.tolist(), f"{name}_confidence": plain(one.confidence)}
        columns |= {f"{name}_accuracy": plain(one.accuracy), f"{name}_gap_low": plain(one.low)}
        columns[f"{name}_gap_high"] = plain(one.high)
    return columns


PANEL = Panel(
    title="Over- and under-confidence by predicted class",
    kind="plotly",
    caption=caption(by_answer),
    order=220,
    wide=False,
    lacks=_claims.lacks,
    draw=draw,
    table=table,
)
