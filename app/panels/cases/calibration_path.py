"""Calibration while the student learned."""

from typing import Any

import numpy as np

from app import theme
from app.panels import Panel, View, caption
from app.panels._figure import faint, line, plain
from app.panels.cases import _needs as needs
from app.theme import Theme
from kdcore.cases.calibration_path import Course, course
from kdcore.cases.case import Case
from kdcore.cases.choosing import chosen
from kdcore.cases.trail import probed, trail


def draw(case: Case, view: View) -> dict[str, Any]:
    found, look = _found(case, view), view.theme
    student, dots = theme.STUDENT[look], {"color": theme.TEACHER[look], "width": 1.5, "dash": "dot"}
    traces = [
        line("confidence", found.steps, found.confidence, student, line={"dash": "dash"}),
        line("accuracy", found.steps, found.accuracy, student),
        line("ECE", found.steps, found.ece, theme.DISAGREE[look]) | {"yaxis": "y2"},
        line("NLL", found.steps, found.nll, theme.MUTED[look]) | {"yaxis": "y3"},
    ]
    traces += _inherited(found, look)
    for axis, height in (("y2", found.teacher_ece), ("y3", found.teacher_nll)):
        level = np.full(len(found.steps), height)
        traces.append(line(f"teacher {axis}", found.steps, level, dots["color"])
                      | {"yaxis": axis, "line": dots, "showlegend": axis == "y2", "name": "teacher"})  # fmt: skip
    layout = theme.layout(
        look,
        "calibration path",
        xaxis={"anchor": "y4", "title": {"text": f"optimiser step · {found.rows} probe rows"}},
        yaxis={"domain": [0.68, 1], "tickformat": ".0%"},
        yaxis2={"domain": [0.46, 0.62], "rangemode": "tozero", "tickformat": ".0%", "title": {"text": "ECE"}},
        yaxis3={"domain": [0.24, 0.4], "rangemode": "tozero", "title": {"text": "NLL"}},
        yaxis4={"domain": [0, 0.18], "range": [-1.05, 1.05], "title": {"text": "inherited"}},
    )
    return {"data": traces, "layout": layout}


def _inherited(found: Course, look: Theme) -> list[dict[str, Any]]:
    """The correlation with the teacher's gaps, and the band in which it lies."""
    middle, low, high = found.inherited.T
    edge = {"yaxis": "y4", "showlegend": False, "hoverinfo": "skip", "line": {"width": 0}}
    band = line("inherited high", found.steps, high, theme.GOOD[look])
    band |= edge | {"fill": "tonexty", "fillcolor": faint(theme.GOOD[look], 0.2)}
    return [
        line("inherited low", found.steps, low, theme.GOOD[look]) | edge,
        band,
        line("correlation of gaps with the teacher's", found.steps, middle, theme.GOOD[look]) | {"yaxis": "y4"},
    ]


def _found(case: Case, view: View) -> Course:
    seen = trail(case)
    assert seen is not None
    return course(seen, probed(case, seen, chosen(case, view.select)))


def table(case: Case, view: View) -> dict[str, list[Any]]:
    found = _found(case, view)
    told = {"ece": found.ece, "nll_nats": found.nll, "confidence": found.confidence, "accuracy": found.accuracy}
    told |= {"inherited": found.inherited[:, 0]}
    return {"step": found.steps.tolist()} | {name: plain(values) for name, values in told.items()}


PANEL = Panel(
    title="Calibration while it learned",
    kind="plotly",
    caption=caption(course),
    order=260,
    wide=False,
    lacks=needs.trail,
    draw=draw,
    table=table,
)
