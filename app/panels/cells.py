"""The latent plane: the teacher's cells in colours, the student's borders over them."""

from typing import Any

from app import theme
from app.panels import Panel, View, caption
from app.panels import _lacks as lacks
from app.panels import _suits as suits
from app.panels._cells import bare
from app.panels._figure import note, number, plain
from kdcore.probes.cells import Cells, cells
from kdcore.runs.record import Record

OPACITY = 0.55  # of the teacher's colours, so that names and borders stand out


def draw(record: Record, view: View) -> dict[str, Any]:
    found, look = cells(record), view.theme
    plain_axis = bare(look) | {"showticklabels": False, "showline": False, "ticks": "", "fixedrange": True}
    names = [note(f"<b>{name}</b>", x, y, **_middle()) for name, x, y in found.names]
    layout = theme.layout(
        look,
        "cells",
        showlegend=False,
        xaxis=plain_axis | {"constrain": "domain"},
        yaxis=plain_axis | {"scaleanchor": "x", "constrain": "domain"},
        annotations=[*names, note(_text(found), 0.0, 1.0)],
    )
    layout["margin"] = {"l": 8, "r": 8, "t": 28, "b": 8}
    return {"data": [_colours(found, look), _border(found, look), _corners(found, look)], "layout": layout}


def _middle() -> dict[str, Any]:
    return {"xref": "x", "yref": "y", "xanchor": "center", "yanchor": "middle"}


def _colours(found: Cells, look: theme.Theme) -> dict[str, Any]:
    every = theme.classes(found.numbers[-1] + 1, look)
    steps = len(found.classes)
    scale = [[place / steps, every[k]] for at, k in enumerate(found.numbers) for place in (at, at + 1)]
    hover = [
        [f"teacher {found.classes[theirs]}, student {found.classes[ours]}" for theirs, ours in zip(*rows, strict=True)]
        for rows in zip(found.teacher.tolist(), found.student.tolist(), strict=True)
    ]
    return {
        "type": "heatmap",
        "uid": "teacher",
        "x": plain(found.x),
        "y": plain(found.y),
        "z": plain(found.teacher),
        "zmin": -0.5,
        "zmax": steps - 0.5,
        "colorscale": scale,
        "showscale": False,
        "opacity": OPACITY,
        "hovertext": hover,
        "hoverinfo": "text",
    }


def _border(found: Cells, look: theme.Theme) -> dict[str, Any]:
    """Return the student's borders, one line with gaps."""
    x = [at for x0, _, x1, _ in found.border for at in (x0, x1, None)]
    y = [at for _, y0, _, y1 in found.border for at in (y0, y1, None)]
    line = {"type": "scatter", "mode": "lines", "line": {"color": theme.STUDENT[look], "width": 3}}
    return {"uid": "student", "x": x, "y": y, "hoverinfo": "skip"} | line


def _corners(found: Cells, look: theme.Theme) -> dict[str, Any]:
    """Where the teacher's mean answers of three classes lie."""
    own = [theme.INK[look] if corner.own else theme.DISAGREE[look] for corner in found.corners]
    marker = {"symbol": "diamond", "size": 12, "color": own, "line": {"color": theme.PAPER[look], "width": 1.5}}
    sees = {True: "the teacher predicts that class there", False: "the teacher predicts another class there"}
    said = [f"mean outputs of {corner.name} point here; {sees[corner.own]}" for corner in found.corners]
    return {
        "type": "scatter",
        "uid": "corners",
        "mode": "markers+text",
        "x": plain([corner.x for corner in found.corners]),
        "y": plain([corner.y for corner in found.corners]),
        "text": [f"<b>{corner.name}</b>" for corner in found.corners],
        "textposition": "top center",
        "textfont": {"color": own},
        "marker": marker,
        "hovertext": said,
        "hoverinfo": "text",
    }


def _text(found: Cells) -> str:
    own = sum(corner.own for corner in found.corners)
    return f"same class on <b>{number(found.agreement, '.0%')}</b> · {own} of 3 corners in the region of their class"


def table(record: Record, _: View) -> dict[str, list[Any]]:
    found = cells(record)
    side = len(found.x)
    return {
        "x": found.x.tolist() * side,
        "y": [y for y in found.y.tolist() for _ in range(side)],
        "teacher_class": [found.classes[k] for k in found.teacher.ravel()],
        "student_class": [found.classes[k] for k in found.student.ravel()],
    }


PANEL = Panel(
    title="Decision regions in latent space",
    kind="plotly",
    caption=caption(cells),
    order=4,
    wide=False,
    lacks=lacks.seen("cells_teacher", "cells_student", "cells_extent"),
    draw=draw,
    table=table,
    suits=suits.records("cells_corners"),
)
