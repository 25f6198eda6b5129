"""What the student confuses more, or less, than its teacher."""

from typing import Any

from app import theme
from app.panels import Panel, View, caption
from app.panels import _lacks as lacks
from app.panels import _suits as suits
from app.panels._figure import class_axis, plain
from kdcore.probes.confusion import Confusion, confusion
from kdcore.runs.record import Record

NUMBERED = 12  # classes up to which the cells hold numbers


def draw(record: Record, view: View) -> dict[str, Any]:
    found, look = confusion(record), view.theme
    ticks = {"showgrid": False, "zeroline": False} | class_axis(found.classes, most=13)
    layout = theme.layout(
        look,
        "confusion",
        xaxis={"title": {"text": "predicted class"}} | ticks,
        yaxis={"title": {"text": "true class"}} | ticks | {"range": ticks["range"][::-1]},
        showlegend=False,
    )
    return {"data": [_cells(found, look), _diagonal(len(found.classes), theme.MUTED[look])], "layout": layout}


def _cells(found: Confusion, look: theme.Theme) -> dict[str, Any]:
    bound = found.largest or 1.0
    bar = {"thickness": 12, "tickformat": "+.0%", "title": {"text": "student − teacher", "side": "right"}}
    cells: dict[str, Any] = {
        "type": "heatmap",
        "uid": "difference",
        "z": plain(found.difference),
        "zmin": -bound,
        "zmax": bound,
        "colorscale": theme.diverging(look),
        "colorbar": bar,
        "hovertext": _hover(found),
        "hoverinfo": "text",
        "xgap": 1 if len(found.classes) <= NUMBERED else 0,
        "ygap": 1 if len(found.classes) <= NUMBERED else 0,
    }
    if len(found.classes) <= NUMBERED:
        text = [[f"{share:+.0%}" if share else "" for share in row] for row in cells["z"]]
        cells |= {"text": text, "texttemplate": "%{text}"}
    return cells


def _hover(found: Confusion) -> list[list[str]]:
    """Return what each cell says under the pointer; nothing where neither network ever answered so."""
    return [
        [
            f"{true} predicted as {answer}<br>student {ours}, teacher {theirs} samples" if ours or theirs else ""
            for answer, ours, theirs in zip(found.classes, student, teacher, strict=True)
        ]
        for true, student, teacher in zip(found.classes, found.student.tolist(), found.teacher.tolist(), strict=True)
    ]


def _diagonal(classes: int, colour: str) -> dict[str, Any]:
    """Return a frame around each cell where the answer is right."""
    width = 1.5 if classes <= NUMBERED else 0.5
    x = [edge for k in range(classes) for edge in (k - 0.5, k + 0.5, k + 0.5, k - 0.5, k - 0.5, None)]
    y = [edge for k in range(classes) for edge in (k - 0.5, k - 0.5, k + 0.5, k + 0.5, k - 0.5, None)]
    line = {"type": "scatter", "mode": "lines", "line": {"color": colour, "width": width}, "hoverinfo": "skip"}
    return {"uid": "diagonal", "x": x, "y": y} | line


def table(record: Record, _: View) -> dict[str, list[Any]]:
    found = confusion(record)
    return {
        "true_class": [true for true in found.classes for _ in found.classes],
        "answer": list(found.classes) * len(found.classes),
        "student_rows": found.student.ravel().tolist(),
        "teacher_rows": found.teacher.ravel().tolist(),
        "share_difference": found.difference.ravel().tolist(),
    }


PANEL = Panel(
    title="Confusion, student minus teacher",
    kind="plotly",
    caption=caption(confusion),
    order=60,
    wide=False,
    lacks=lacks.first(lacks.teacher, lacks.answers),
    draw=draw,
    table=table,
    suits=suits.taught,
)
