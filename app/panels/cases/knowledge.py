"""Where on an image both networks still look."""

from typing import Any

import numpy as np

from app import theme
from app.panels import Panel, View, caption
from app.panels._cells import cells, columns, heading, numbered
from app.panels._figure import number
from app.panels.cases import _needs as needs
from app.panels.cases._words import aside, asked
from kdcore.comparison.case import Case
from kdcore.comparison.knowledge import Knowledge, knowledge
from kdcore.probes._numerics import mean

COLOURS = {"teacher": theme.TEACHER, "student": theme.STUDENT}
GAP = 1  # cells between images


def draw(case: Case, view: View) -> dict[str, Any]:
    found, look = knowledge(case), view.theme
    whos = [who for who in ("teacher", "student") if who in found.entropy]
    domains, data, axes, titles = columns(len(whos), 0.04), [], {}, []
    for place, who in enumerate(whos, 1):
        data.append(_mosaic(found, who, place, look))
        x, y = numbered("xaxis", place), numbered("yaxis", place)
        axes[x] = {"visible": False, "domain": domains[place - 1], "anchor": numbered("y", place)}
        axes[y] = {"visible": False, "autorange": "reversed", "anchor": numbered("x", place)}
        axes[y] |= {"scaleanchor": numbered("x", place)}
        titles.append(heading(who, domains[place - 1], COLOURS[who], look, 1.0))
    said = [f"{who}: {_told(found, who)}" for who in whos]
    titles.append(aside(*said, asked(len(found.rows), len(case.rows), found.select), lifted=20))
    layout = theme.layout(look, "knowledge", showlegend=False, annotations=titles, **axes)
    layout["margin"] |= {"l": 8, "t": 76, "b": 8}
    return {"data": data, "layout": layout}


def _told(found: Knowledge, who: str) -> str:
    points = found.student if who == "student" else found.teacher
    assert points is not None
    share = number(mean(points.share), ".0%")
    return f"{points.inside.mean():.1f} points on the object, {points.outside.mean():.1f} beside · λ {share}"


def _mosaic(found: Knowledge, who: str, place: int, look: theme.Theme) -> dict[str, Any]:
    """Each row's patches: how far each lies below its row's mean entropy; background is left bare of points."""
    entropy = found.entropy[who]
    clear = entropy.mean((1, 2), keepdims=True) - entropy
    count, height, width = clear.shape
    across = int(np.ceil(np.sqrt(2 * count)))  # twice as wide as high
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
    lacks=needs.part("knowledge", "Knowledge points not computed yet; press the button above."),
    draw=draw,
    table=table,
)
