"""What both networks take for what, and where they differ."""

from typing import Any

import numpy as np

from app import theme
from app.panels import Panel, View, caption
from app.panels._cells import bare, cells, columns, heading, named_axis, numbered
from app.panels.cases import _needs as needs
from app.panels.cases._words import SMALL, aside
from kdcore.comparison.case import Case
from kdcore.comparison.checkpoint_history import trail
from kdcore.comparison.confusions import Confusions, at_step, confusions, on_probe
from kdcore.comparison.selection import chosen
from kdcore.probes._numerics import Floats

NUMBERED = 6  # classes up to which the cells hold numbers


def _found(case: Case, view: View) -> Confusions:
    meant, frames = chosen(case, view.select), None if view.at is None else trail(case)
    if frames is None or view.at is None:
        return confusions(case.rows, meant)
    return at_step(frames, view.at, on_probe(case.rows, frames, meant))


def draw(case: Case, view: View) -> dict[str, Any]:
    found, look = _found(case, view), view.theme
    maps = _maps(found, look)
    domains = columns(len(maps), 0.05)
    axes: dict[str, Any] = {}
    data, titles = [], []
    for place, (name, values, scale, bounds, colour) in enumerate(maps, 1):
        pick = f"true={{row}};{'teacher' if name == 'teacher' else 'student'}={{column}}"
        drawn = cells(f"confusion {name}", values, scale, bounds, place)
        data.append(drawn | {"meta": {"pick": pick}} | _hover(found, name, case.classes))
        if len(case.classes) <= NUMBERED:
            data[-1] |= {"texttemplate": "%{z:.0%}", "xgap": 1, "ygap": 1}
        axes |= _axes(case.classes, place, domains[place - 1], look)
        titles.append(heading(name, domains[place - 1], colour, look))
    ended = " after its last step" if case.about.student.run else ""  # of a file nothing is known of steps
    step = ended if found.step is None else f" at step {found.step:,}, on the run's probe rows"
    full = f"full colour from {found.mistaken or 1.0:.1%} of a class"
    said = aside(f"{found.rows:,} rows with a label · {full}", f"student{step}", lifted=20)
    layout = theme.layout(look, "confusion", showlegend=False, annotations=[*titles, said], **axes)
    layout["margin"] |= {"t": 60}
    return {"data": data, "layout": layout}


def _maps(found: Confusions, look: theme.Theme) -> list[tuple[str, Floats, list[list[Any]], Any, dict[str, str]]]:
    ours, bounds = found.shares(found.student), (0.0, found.mistaken or 1.0)  # so that mistakes are seen
    student = ("student", ours, theme.rising(theme.STUDENT, look), bounds, theme.STUDENT)
    if found.teacher is None:
        return [student]
    theirs = found.shares(found.teacher)
    largest = float(np.nanmax(np.abs(ours - theirs), initial=0.01))
    difference = ("S − T", ours - theirs, theme.diverging(look), (-largest, largest), theme.INK)
    return [("teacher", theirs, theme.rising(theme.TEACHER, look), bounds, theme.TEACHER), student, difference]


def _hover(found: Confusions, name: str, classes: tuple[str, ...]) -> dict[str, Any]:
    told, rows = "%{y} predicted as %{x}: %{z:.1%}", {"student": found.student, "teacher": found.teacher}.get(name)
    named = {"x": list(classes), "y": list(classes)}
    if rows is None:
        return named | {"hovertemplate": f"{told}<extra>{name}</extra>"}
    counted = {"customdata": rows.tolist(), "hovertemplate": f"{told}, %{{customdata}} rows<extra>{name}</extra>"}
    return named | counted


def _axes(classes: tuple[str, ...], place: int, domain: list[float], look: theme.Theme) -> dict[str, Any]:
    ticks = bare(look) | named_axis(classes, most=13) | {"tickfont": {"size": SMALL}}
    across = {"title": {"text": "predicted"}, "domain": domain, "anchor": numbered("y", place)}
    down = {"range": ticks["range"][::-1], "anchor": numbered("x", place)}
    down |= {"title": {"text": "true class"}} if place == 1 else {"showticklabels": False}
    return {numbered("xaxis", place): ticks | across, numbered("yaxis", place): ticks | down}


def table(case: Case, view: View) -> dict[str, list[Any]]:
    found, names = _found(case, view), case.classes
    told: dict[str, list[Any]] = {"true_class": [true for true in names for _ in names]}
    told |= {"answer": list(names) * len(names), "student_rows": found.student.ravel().tolist()}
    return told if found.teacher is None else told | {"teacher_rows": found.teacher.ravel().tolist()}


PANEL = Panel(
    title="Confusion matrices",
    kind="plotly",
    caption=caption(confusions),
    order=700,
    wide=True,
    lacks=needs.labels,
    draw=draw,
    table=table,
)
