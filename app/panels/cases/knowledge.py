"""Where on an image both networks still look, and how the student came to it."""

from typing import Any

import numpy as np

from app import theme
from app.panels import Panel, View, caption
from app.panels._cells import cells, columns, heading
from app.panels._figure import line, note, number
from app.panels.cases import _needs as needs
from kdcore.cases.case import Case
from kdcore.cases.knowledge import Knowledge, knowledge
from kdcore.probes._numerics import mean

COLOURS = {"teacher": theme.TEACHER, "student": theme.STUDENT}
GAP = 1  # cells between images


def draw(case: Case, view: View) -> dict[str, Any]:
    found, look = knowledge(case), view.theme
    whos = [who for who in ("teacher", "student") if who in found.entropy]
    below = 0.4 if found.course else 0.0
    domains, data, axes, titles = columns(len(whos), 0.04), [], {}, []
    for place, who in enumerate(whos, 1):
        data.append(_mosaic(found, who, place, look))
        end = "" if place == 1 else str(place)
        flat = {"visible": False, "domain": domains[place - 1]}
        axes[f"xaxis{end}"] = flat | {"anchor": f"y{end}"}
        upright = {"visible": False, "autorange": "reversed", "domain": [below, 0.94]}
        axes[f"yaxis{end}"] = upright | {"anchor": f"x{end}", "scaleanchor": f"x{end}"}
        titles.append(heading(f"{who}: {_told(found, who)}", domains[place - 1], COLOURS[who], look, 0.95))
    if found.course:
        data += _lines(found, look)
        axes["xaxis3"] = {"domain": [0, 1], "anchor": "y3", "title": {"text": "step of the student's checkpoint"}}
        axes["yaxis3"] = {"domain": [0, 0.24], "anchor": "x3", "title": {"text": "points"}, "rangemode": "tozero"}
        titles.append(note(_way(found), 0.0, 0.26))
    layout = theme.layout(look, "knowledge", showlegend=False, annotations=titles, **axes)
    return {"data": data, "layout": layout}


def _told(found: Knowledge, who: str) -> str:
    points = found.student if who == "student" else found.teacher
    assert points is not None
    share = number(mean(points.share), ".0%")
    return f"{points.inside.mean():.1f} points on the object, {points.outside.mean():.1f} beside · λ = {share}"


def _way(found: Knowledge) -> str:
    course = found.course
    assert course is not None
    return (
        f"points on the object · weights went <b>{course.distance:.2f}</b> lengths until there were most "
        f"(variance {course.spread:.3f}) · kept at the end <b>{number(course.stability, '.0%')}</b>"
    )


def _mosaic(found: Knowledge, who: str, place: int, look: theme.Theme) -> dict[str, Any]:
    """Each row's patches: how far each lies below its row's mean entropy; background is left bare of points."""
    entropy = found.entropy[who]
    clear = entropy.mean((1, 2), keepdims=True) - entropy
    count, height, width = clear.shape
    across = int(np.ceil(np.sqrt(count)))
    down = -(-count // across)
    board = np.full((down * (height + GAP) - GAP, across * (width + GAP) - GAP), np.nan)
    rows = np.full(board.shape, -1)
    for one in range(count):
        top, left = (one // across) * (height + GAP), (one % across) * (width + GAP)
        board[top : top + height, left : left + width] = clear[one]
        rows[top : top + height, left : left + width] = found.rows[one]
    bound = float(np.abs(clear).max()) or 1.0
    colours = [[0.0, theme.MUTED[look]], [0.5, theme.FIELD_ZERO[look]], [1.0, COLOURS[who][look]]]
    shown = cells(f"mosaic {who}", board, colours, (-bound, bound), place)
    said = "row %{customdata}: %{z:+.2f} nats clearer than its mean<extra>" + who + "</extra>"
    picked = [["" if row < 0 else row for row in line] for line in rows.tolist()]
    return shown | {"customdata": picked, "meta": {"pick": "sample={customdata}"}, "hovertemplate": said}


def _lines(found: Knowledge, look: theme.Theme) -> list[dict[str, Any]]:
    course = found.course
    assert course is not None
    axes = {"xaxis": "x3", "yaxis": "y3", "mode": "lines+markers"}
    shown = [line("points while learning", course.steps, course.inside, theme.STUDENT[look]) | axes]
    if found.teacher is not None:
        level = np.full(len(course.steps), found.teacher.inside.mean())
        dotted = {"color": theme.TEACHER[look], "dash": "dot", "width": 2}
        shown.append(line("teacher's points", course.steps, level, theme.TEACHER[look]) | axes | {"line": dotted})
    return shown


def table(case: Case, _: View) -> dict[str, list[Any]]:
    found = knowledge(case)
    told: dict[str, list[Any]] = {"row": found.rows.tolist()}
    for who, points in (("student", found.student), ("teacher", found.teacher)):
        if points is not None:
            told |= {f"{who}_on_object": points.inside.tolist(), f"{who}_beside": points.outside.tolist()}
    return told


PANEL = Panel(
    title="Knowledge points",
    kind="plotly",
    caption=caption(knowledge),
    order=760,
    wide=True,
    lacks=needs.part("knowledge", "Knowledge points have not been counted yet; press the button above."),
    draw=draw,
    table=table,
)
