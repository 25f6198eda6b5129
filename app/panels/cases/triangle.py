"""Both networks' confidence among three classes."""

from typing import Any

import numpy as np

from app import theme
from app.panels import Panel, View, caption, knob, softening
from app.panels._figure import brief, faint, note, plain, softened
from app.panels.cases import _needs as needs
from app.panels.cases._words import SMALL
from kdcore.comparison.case import Case
from kdcore.comparison.selection import chosen
from kdcore.comparison.triangle import CORNERS, Triangle, triangle
from kdcore.probes._numerics import Floats

KNOB = "three"  # places of classes, joined by "+"


def _found(case: Case, view: View) -> Triangle:
    wanted = tuple(int(place) for place in knob(view, KNOB).split("+") if place.isdecimal())
    pinned = (view.sample,) if view.beside is None else (view.sample, view.beside)
    return triangle(case.rows, softening(view), chosen(case, view.select), wanted, pinned)


def draw(case: Case, view: View) -> dict[str, Any]:
    found, look = _found(case, view), view.theme
    names = [case.classes[k] for k in found.classes]
    sides = CORNERS[[0, 1, 2, 0]]
    frame = {"type": "scatter", "uid": "sides", "mode": "lines", "hoverinfo": "skip", "showlegend": False}
    data = [
        frame | {"x": plain(sides[:, 0]), "y": plain(sides[:, 1]), "line": {"color": theme.MUTED[look], "width": 1}}
    ]
    ours = found.plane(found.student)
    if found.teacher is not None:
        theirs = found.plane(found.teacher)
        data.append(_lines(frame, ours, theirs, look))
        data.append(_points("teacher", found, found.teacher, theirs, case, view))
    data.append(_points("student", found, found.student, ours, case, view))
    thinned = f"{len(found.rows)} of {found.of:,} rows" if found.of > len(found.rows) else f"{found.of:,} rows"
    said = f"{thinned} of these classes, which hold {found.mass:.0%} of the student's mass"
    places = (
        (-0.02, -0.03, "right", "top"),
        (1.02, -0.03, "left", "top"),
        (0.5, CORNERS[2, 1] + 0.03, "center", "bottom"),
    )
    corners = [
        note(f"<b>{brief(name)}</b>", x, float(y), xref="x", yref="y", xanchor="center", yanchor=yanchor)
        for name, (x, y, _, yanchor) in zip(names, places, strict=True)
    ]
    bare = {"visible": False, "range": [-0.12, 1.12]}
    upright = {"visible": False, "range": [-0.16, 1.0], "scaleanchor": "x"}
    layout = theme.layout(look, f"triangle {found.classes}", xaxis=bare, yaxis=upright)
    layout |= {"annotations": [*corners, note(said, 0.0, -0.02, yanchor="top", font={"size": SMALL})]}
    layout["margin"] |= {"l": 8, "b": 32}
    return {"data": data, "layout": softened(layout, softening(view))}


def _lines(frame: dict[str, Any], ours: Floats, theirs: Floats, look: theme.Theme) -> dict[str, Any]:
    """From each row's point of the teacher to that of the student."""
    ways = np.stack([theirs, ours, np.full_like(ours, np.nan)], axis=1).reshape(-1, 2)
    style = {"color": faint(theme.DISAGREE[look], 0.35), "width": 1}
    return frame | {"uid": "lines", "x": plain(ways[:, 0]), "y": plain(ways[:, 1]), "line": style}


def _points(who: str, found: Triangle, shares: Floats, plane: Floats, case: Case, view: View) -> dict[str, Any]:
    colour = (theme.TEACHER if who == "teacher" else theme.STUDENT)[view.theme]
    pinned = np.isin(found.rows, [view.sample, -1 if view.beside is None else view.beside])
    names = (*case.classes, "?")
    said = [
        f"row {row}, is {names[label]}<br>"
        + ", ".join(f"{case.classes[k]} {p:.0%}" for k, p in zip(found.classes, own, strict=True))
        for row, label, own in zip(found.rows.tolist(), found.labels.tolist(), shares.tolist(), strict=True)
    ]
    marker = {
        "color": colour,
        "size": np.where(pinned, 13, 6).tolist(),
        "symbol": "circle" if who == "student" else "diamond",
    }
    marker["line"] = {"color": theme.INK[view.theme], "width": np.where(pinned, 2, 0).tolist()}
    where = {"x": plain(plane[:, 0]), "y": plain(plane[:, 1]), "customdata": found.rows.tolist(), "text": said}
    style = {"type": "scatter", "uid": who, "name": who, "mode": "markers", "marker": marker, "opacity": 0.8}
    return style | where | {"meta": {"pick": "sample={customdata}"}, "hovertemplate": f"%{{text}}<extra>{who}</extra>"}


def table(case: Case, view: View) -> dict[str, list[Any]]:
    found = _found(case, view)
    told: dict[str, list[Any]] = {"row": found.rows.tolist(), "label": found.labels.tolist()}
    for who, shares in (("student", found.student), ("teacher", found.teacher)):
        if shares is not None:
            told |= {f"{who}_{case.classes[k]}": shares[:, place].tolist() for place, k in enumerate(found.classes)}
    return told


def _three(case: Case) -> str | None:
    return None if len(case.classes) > 2 else "A triangle needs three classes, but these data have two."


PANEL = Panel(
    title="Probabilities among three classes",
    kind="plotly",
    caption=caption(triangle),
    order=730,
    wide=False,
    lacks=needs.first(needs.labels, _three),
    draw=draw,
    table=table,
    softened=True,
)
