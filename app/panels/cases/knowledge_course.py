"""How the student came to its knowledge points."""

from typing import Any

import numpy as np

from app import theme
from app.panels import Panel, View, caption
from app.panels._figure import line, note, number
from app.panels.cases import _needs as needs
from app.panels.cases._words import SMALL
from kdcore.comparison.case import Case
from kdcore.comparison.knowledge import KnowledgeCourse, knowledge, learned


def draw(case: Case, view: View) -> dict[str, Any]:
    found, look = knowledge(case), view.theme
    course, taught = found.course, found.teacher
    assert course is not None
    data = [line("student", course.steps, course.inside, theme.STUDENT[look]) | {"mode": "lines+markers"}]
    if taught is not None:
        level = np.full(len(course.steps), taught.inside.mean())
        data.append(line("teacher", course.steps, level, theme.TEACHER[look], line={"dash": "dot"}))
    layout = theme.layout(
        look,
        "knowledge course",
        xaxis={"title": {"text": "step of the student's checkpoint"}},
        yaxis={"title": {"text": "points on the object"}, "rangemode": "tozero"},
        annotations=[note(_way(course), 0.0, 0.02, font={"size": SMALL})],
    )
    return {"data": data, "layout": layout}


def _way(course: KnowledgeCourse) -> str:
    return (
        f"way to most points <b>{course.distance:.2f}</b> (variance {course.spread:.2f})<br>"
        f"points kept at the end <b>{number(course.stability, '.0%')}</b>"
    )


def table(case: Case, _: View) -> dict[str, list[Any]]:
    course = knowledge(case).course
    assert course is not None
    return {"step": course.steps.tolist(), "on_object": course.inside.tolist(), "share": course.share.tolist()}


def _kept(case: Case) -> str | None:
    return None if "course" in case.part("knowledge") else "The student's run kept no checkpoint on this machine."


PANEL = Panel(
    title="Knowledge points during training",
    kind="plotly",
    caption=caption(learned),
    order=765,
    wide=False,
    lacks=needs.first(needs.part("knowledge", "Knowledge points not computed yet; press the button above."), _kept),
    draw=draw,
    table=table,
)
