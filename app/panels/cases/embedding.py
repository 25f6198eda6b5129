"""The rows as points, where the teacher has them and where the student does."""

from typing import Any

import numpy as np

from app import theme
from app.panels import Panel, View, caption, knob
from app.panels._figure import faint, note, plain
from app.panels.cases import _needs as needs
from app.panels.cases.partition import COLOURS
from kdcore.comparison.case import PARTS, Case, Rows
from kdcore.comparison.embedding import FIRST, PART, DrawnRows, drawn, first_view
from kdcore.comparison.selection import chosen
from kdcore.probes._numerics import Floats, Ints
from kdcore.runs.record import Arrays

COLOURED = {"part": "By part", "class": "By class", "kl": "By KL"}  # what the knob "colour" turns to
MANY = 2000  # rows from which on points are smaller
NAMED = 12  # classes with a legend
SIDES = {"student": "", "teacher": "teacher_"}
PLACES = {"both": {"student": [0.52, 1.0], "teacher": [0.0, 0.48]}, "alone": {"student": [0.0, 1.0]}}


def shown(case: Case) -> Arrays:
    """UMAP's places where they are there, else a projection that needs no task."""
    return case.part(PART) or first_view(case)


def draw(case: Case, view: View) -> dict[str, Any]:
    plane, rows, look = shown(case), case.rows, view.theme
    pinned = tuple(row for row in (view.sample, view.beside) if row is not None and row < len(rows))
    found = drawn(rows, plane, chosen(case, view.select), pinned)
    sides = PLACES["both" if "teacher_x" in plane else "alone"]
    traces: list[dict[str, Any]] = []
    for side in sides:
        traces += _points(case, plane, found, view, side)
        traces.append(_pins(plane, pinned, look, side))
    if len(sides) > 1:
        traces.append(_ways(plane, found, look))
    layout = theme.layout(look, f"embedding {plane['of']} {'laid' in plane}", **_axes(sides), dragmode="select")
    layout |= {"meta": _boxes(plane), "selections": [], "margin": {"l": 8, "r": 8, "t": 8, "b": 88}}
    layout["annotations"] = [_title(side, domain, look) for side, domain in sides.items()]
    layout["annotations"].append(
        note(_said(rows, plane, found) + _read(rows, view), 0.0, -0.02, yanchor="top", font={"size": 13})
    )
    return {"data": traces, "layout": layout}


def _axes(sides: dict[str, list[float]]) -> dict[str, Any]:
    """Return the student's axes, and beside them the teacher's, which show the same stretch of the plane."""
    bare: dict[str, Any] = {"visible": False}
    axes: dict[str, Any] = {"xaxis": bare | {"domain": sides["student"]}, "yaxis": bare | {"domain": [0.0, 0.93]}}
    if "teacher" in sides:
        axes["xaxis2"] = bare | {"domain": sides["teacher"], "anchor": "y2", "matches": "x"}
        axes["yaxis2"] = bare | {"domain": [0.0, 0.93], "anchor": "x2", "matches": "y"}
    return axes


def _boxes(plane: Arrays) -> dict[str, str]:
    part = PART if "laid" in plane else FIRST
    return {"box": part} | ({"box2": f"{part}.teacher"} if "teacher_x" in plane else {})


def _title(side: str, domain: list[float], look: theme.Theme) -> dict[str, Any]:
    colour = theme.STUDENT if side == "student" else theme.TEACHER
    return note(f"<b>{side.capitalize()}</b>", domain[0], 0.94, font={"color": colour[look]})


def _said(rows: Rows, plane: Arrays, found: DrawnRows) -> str:
    if "laid" in plane:
        how = f"UMAP of {plane['of']}, {plane['neighbours']} neighbours,<br>least distance {float(plane['apart']):g}"
        if plane["laid"] < len(rows):
            how += f"<br>{plane['laid']:,} rows laid out, the others stand amid their nearest"
    else:
        how = "two principal axes of the logits"
    hidden = f"<br>{found.hidden:,} rows are not drawn" if found.hidden else ""
    lines = f"<br>Lines: the {len(found.ways)} furthest apart by KL" if len(found.ways) else ""
    return f"{how}{hidden}{lines}"


def _read(rows: Rows, view: View) -> str:
    """How the colours read, where no legend says it."""
    scale = "<br>Colour: KL in nats, palest up to 0.0001, full from 10, by its logarithm"
    return scale if knob(view, "colour") == "kl" and rows.teacher is not None else ""


def _groups(case: Case, found: DrawnRows, view: View) -> list[tuple[str, Any, np.ndarray]]:
    """Name, colour or numbers, and which (M,) of the drawn rows, of each part of the points that has one."""
    rows, look, here = case.rows, view.theme, found.rows
    others = [("not selected", faint(theme.MUTED[look], 0.3), ~found.meant)]
    how = knob(view, "colour", "part")
    if rows.teacher is None and how != "class":
        how = "class"
    if how == "kl":
        return [*others, ("KL", np.log10(np.maximum(rows.kl[here], 1e-4)), found.meant)]
    if how == "class":
        colours = theme.classes(len(case.classes), look)
        if len(colours) > NAMED:  # one trace: hundreds would be slow to draw
            return [*others, ("class", rows.labels[here], found.meant & (rows.labels[here] >= 0))]
        kinds = [(case.classes[k], colours[k], rows.labels[here] == k) for k in np.unique(rows.labels[here]) if k >= 0]
    else:
        kinds = [(said, COLOURS[k][look], rows.part[here] == k) for k, said in enumerate(PARTS.values())]
    unknown = ("no label", theme.MUTED[look], rows.labels[here] < 0)
    return [*others, *((name, colour, which & found.meant) for name, colour, which in (*kinds, unknown))]


def _points(case: Case, plane: Arrays, found: DrawnRows, view: View, side: str) -> list[dict[str, Any]]:
    groups = [group for group in _groups(case, found, view) if group[2].any()]
    named = [isinstance(colour, str) for _, colour, _ in groups]
    traces = []
    for (name, colour, which), told in zip(groups, named, strict=True):
        size = 6 if len(found.rows) < MANY else 4
        marker: dict[str, Any] = {"size": size - (name == "not selected"), "color": colour}
        if not told:
            marker |= {"color": plain(colour[which])} | _scale(name, len(case.classes), view.theme)
        legend = told and len(groups) <= NAMED + 2 and side == "student"
        traces.append(_trace(plane, found.rows[which], name, marker, side, legend))
    return traces


def _scale(name: str, classes: int, look: theme.Theme) -> dict[str, Any]:
    """Return the colours of numbers: of KL by its logarithm, or of classes that are too many for a legend."""
    if name == "class":
        colours = theme.classes(classes, look)
        steps = [[(k + edge) / classes, colours[k]] for k in range(classes) for edge in (0, 1)]
        return {"colorscale": steps, "cmin": -0.5, "cmax": classes - 0.5, "showscale": False}
    return {"colorscale": theme.rising(theme.DISAGREE, look), "cmin": -4, "cmax": 1, "showscale": False}


def _trace(plane: Arrays, here: Ints, name: str, marker: dict[str, Any], side: str, legend: bool) -> dict[str, Any]:
    x, y = plane[f"{SIDES[side]}x"][here], plane[f"{SIDES[side]}y"][here]
    axes = {} if side == "student" else {"xaxis": "x2", "yaxis": "y2"}
    return {
        "type": "scattergl",
        "mode": "markers",
        "uid": f"{side} {name}",
        "name": name,
        "legendgroup": name,
        "showlegend": legend,
        "x": _short(x),
        "y": _short(y),
        "customdata": here.tolist(),
        "marker": marker,
        "meta": {"pick": "sample={customdata}"},
        "hovertemplate": f"row %{{customdata}} · {name}<extra></extra>",
        "unselected": {"marker": {"opacity": 1}},
    } | axes


def _short(values: Floats) -> list[Any]:
    """Coordinates as short as the screen can tell, in one go: there may be ten thousand."""
    rounded: list[Any] = np.round(values.astype(np.float64), 3).tolist()
    return rounded


def _ways(plane: Arrays, found: DrawnRows, look: theme.Theme) -> dict[str, Any]:
    """Lines on the student's side, each from where the teacher has a row."""
    here, gap = found.ways, np.full(len(found.ways), np.nan)
    x = np.stack((plane["teacher_x"][here], plane["x"][here], gap), axis=1).ravel()
    y = np.stack((plane["teacher_y"][here], plane["y"][here], gap), axis=1).ravel()
    line = {"color": faint(theme.INK[look], 0.45), "width": 1}
    style = {"type": "scatter", "mode": "lines", "uid": "ways", "name": "from the teacher's place", "line": line}
    return style | {"x": plain(x), "y": plain(y), "hoverinfo": "skip"}


def _pins(plane: Arrays, pinned: tuple[int, ...], look: theme.Theme, side: str) -> dict[str, Any]:
    here = list(pinned)
    ring = {"size": [16, 12][: len(here)], "symbol": "circle-open", "color": theme.INK[look], "line": {"width": 2.5}}
    axes = {} if side == "student" else {"xaxis": "x2", "yaxis": "y2"}
    x, y = plane[f"{SIDES[side]}x"][here], plane[f"{SIDES[side]}y"][here]
    style = {"type": "scatter", "mode": "markers", "uid": f"{side} pins", "showlegend": False, "hoverinfo": "skip"}
    return style | {"x": plain(x), "y": plain(y), "marker": ring} | axes


def table(case: Case, _: View) -> dict[str, list[Any]]:
    plane = shown(case)
    places = {name: plane[name].tolist() for name in ("x", "y", "teacher_x", "teacher_y") if name in plane}
    return {"row": list(range(len(case.rows))), "label": case.rows.labels.tolist()} | places


PANEL = Panel(
    title="Embedding of the samples",
    kind="plotly",
    caption=caption(drawn),
    order=420,
    wide=True,
    lacks=needs.first(),
    draw=draw,
    table=table,
)
