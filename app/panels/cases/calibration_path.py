"""Calibration while the student learned."""

from typing import Any

import numpy as np

from app import theme
from app.panels import Panel, View, caption
from app.panels._figure import faint, line, note, plain
from app.panels.cases import _needs as needs
from app.theme import Theme
from kdcore.comparison.calibration_path import CalibrationCourse, course
from kdcore.comparison.case import Case
from kdcore.comparison.checkpoint_history import probed, trail
from kdcore.comparison.selection import chosen

DOMAINS = ([0.68, 1], [0.44, 0.6], [0.21, 0.37], [0, 0.14])  # heights of the four plots, from above


def draw(case: Case, view: View) -> dict[str, Any]:
    found, look = _found(case, view), view.theme
    student, quiet = theme.STUDENT[look], {"showlegend": False}
    traces = [
        line("confidence", found.steps, found.confidence, student, line={"dash": "dash"}),
        line("accuracy", found.steps, found.accuracy, student),
        line("ECE", found.steps, found.ece, theme.DISAGREE[look]) | {"yaxis": "y2"} | quiet,
        line("NLL", found.steps, found.nll, theme.MUTED[look]) | {"yaxis": "y3"} | quiet,
    ]
    traces += _inherited(found, look)
    dots = {"line": {"color": theme.TEACHER[look], "width": 1.5, "dash": "dot"}, "name": "teacher"}
    for axis, height in (("y2", found.teacher_ece), ("y3", found.teacher_nll)):
        level = line(f"teacher {axis}", found.steps, np.full(len(found.steps), height), theme.TEACHER[look])
        traces.append(level | dots | {"yaxis": axis, "showlegend": axis == "y2"})
    few = {"nticks": 4, "rangemode": "tozero"}
    layout = theme.layout(
        look,
        "calibration path",
        xaxis={"anchor": "y4", "title": {"text": f"optimiser step · {found.rows} probe rows (validation)"}},
        yaxis={"domain": DOMAINS[0], "tickformat": ".0%", "nticks": 5},
        yaxis2=few | {"domain": DOMAINS[1], "tickformat": ".0%"},
        yaxis3=few | {"domain": DOMAINS[2]},
        yaxis4={"domain": DOMAINS[3], "range": [-1.1, 1.1], "tickvals": [-1, 0, 1]},
        annotations=[
            note(text, 0, domain[1], font={"size": 12, "color": theme.MUTED[look]})
            for text, domain in zip(
                ("ECE", "NLL, nats", "rank correlation of gaps with the teacher's"), DOMAINS[1:], strict=True
            )
        ],
    )
    layout["legend"] |= {"traceorder": "normal"}
    return {"data": traces, "layout": layout}


def _inherited(found: CalibrationCourse, look: Theme) -> list[dict[str, Any]]:
    """Return the correlation with the teacher's gaps, and the band in which it lies."""
    middle, low, high = found.inherited.T
    edge = {"yaxis": "y4", "showlegend": False, "hoverinfo": "skip", "line": {"width": 0}}
    band = line("inherited high", found.steps, high, theme.GOOD[look])
    band |= edge | {"fill": "tonexty", "fillcolor": faint(theme.GOOD[look], 0.2)}
    known = line("inherited", found.steps, middle, theme.GOOD[look]) | {"yaxis": "y4", "showlegend": False}
    return [line("inherited low", found.steps, low, theme.GOOD[look]) | edge, band, known]


def _found(case: Case, view: View) -> CalibrationCourse:
    seen = trail(case)
    assert seen is not None
    return course(seen, probed(case, seen, chosen(case, view.select)))


def table(case: Case, view: View) -> dict[str, list[Any]]:
    found = _found(case, view)
    told = {"ece": found.ece, "nll_nats": found.nll, "confidence": found.confidence, "accuracy": found.accuracy}
    told |= {"inherited": found.inherited[:, 0]}
    return {"step": found.steps.tolist()} | {name: plain(values) for name, values in told.items()}


PANEL = Panel(
    title="Calibration during training",
    kind="plotly",
    caption=caption(course),
    order=260,
    wide=False,
    lacks=needs.trail,
    draw=draw,
    table=table,
)
