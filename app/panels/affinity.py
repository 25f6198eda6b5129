"""Which classes are kin to teacher and student."""

from typing import Any

from app import theme
from app.panels import Panel, View, caption, softening
from app.panels import _lacks as lacks
from app.panels import _suits as suits
from app.panels._cells import bare, cells, columns, heading, named_axis, numbered
from app.panels._figure import number, softened
from kdcore.probes._rows import trained_temperature
from kdcore.probes.affinity import Affinity, affinity
from kdcore.runs.record import Record

DOMAINS = columns(3, 0.05)


def _found(record: Record, view: View) -> Affinity:
    return affinity(record, softening(view, trained_temperature(record)))


def draw(record: Record, view: View) -> dict[str, Any]:
    return figure(_found(record, view), view.theme)


def figure(found: Affinity, look: theme.Theme, **more: Any) -> dict[str, Any]:
    """Teacher's map, student's map and the difference; `more` goes into each of them."""
    parts = (
        ("teacher", found.teacher, theme.rising(theme.TEACHER, look), (0.0, found.kin), theme.TEACHER),
        ("student", found.student, theme.rising(theme.STUDENT, look), (0.0, found.kin), theme.STUDENT),
        (
            f"S − T · r = {number(found.correlation, '.2f')}",
            found.difference,
            theme.diverging(look),
            (-found.largest, found.largest),
            theme.INK,
        ),
    )
    axes: dict[str, Any] = {}
    data, titles = [], []
    for place, (name, values, scale, bounds, colour) in enumerate(parts, 1):
        data.append(cells(f"map {place}", values, scale, bounds, place) | _hover(found, name) | more)
        axes |= _axes(found, place, look)
        titles.append(heading(name, DOMAINS[place - 1], colour, look))
    layout = theme.layout(look, "affinity", showlegend=False, annotations=titles, **axes)
    layout["margin"] |= {"t": 28}
    return {"data": data, "layout": softened(layout, found.temperature)}


def _hover(found: Affinity, name: str) -> dict[str, Any]:
    names = {"x": list(found.classes), "y": list(found.classes)}
    return names | {"hovertemplate": f"%{{y}} answered as %{{x}}: %{{z:.2%}}<extra>{name}</extra>"}


def _axes(found: Affinity, place: int, look: theme.Theme) -> dict[str, Any]:
    ticks = bare(look) | named_axis(found.classes, most=13)
    across = {"title": {"text": "predicted"}, "domain": DOMAINS[place - 1], "anchor": numbered("y", place)}
    down = {"range": ticks["range"][::-1], "anchor": numbered("x", place)}
    down |= {"title": {"text": "true class"}} if place == 1 else {"showticklabels": False}
    return {numbered("xaxis", place): ticks | across, numbered("yaxis", place): ticks | down}


def table(record: Record, view: View) -> dict[str, list[Any]]:
    return columns_of(_found(record, view))


def columns_of(found: Affinity) -> dict[str, list[Any]]:
    """One line for each pair of classes."""
    return {
        "true_class": [true for true in found.classes for _ in found.classes],
        "answer": list(found.classes) * len(found.classes),
        "teacher_share": found.teacher.ravel().tolist(),
        "student_share": found.student.ravel().tolist(),
    }


PANEL = Panel(
    title="Class similarity (dark knowledge)",
    kind="plotly",
    caption=caption(affinity),
    order=84,
    wide=True,
    lacks=lacks.first(lacks.teacher, lacks.answers),
    draw=draw,
    table=table,
    extra=True,
    suits=suits.taught,
    softened=True,
)
