"""Which class each model says where on a plane: through three rows, or all around 2-D data."""

from typing import Any

import numpy as np

from app import theme
from app.panels import BadInput, Panel, View, caption, knob
from app.panels._canvas import dressed, packed
from app.panels._figure import plain
from app.panels._png import png_url
from app.panels.cases import _needs as needs
from kdcore.cases.case import Case
from kdcore.cases.choosing import chosen
from kdcore.cases.plane import asked, compact, grid, name_of
from kdcore.probes._numerics import thinned
from kdcore.record import Arrays

POINTS = 400  # rows drawn at most
PINNED = 4000  # rows that a click can pin at most
PLANES = ("teacher_class", "teacher_share", "student_class", "student_share", "followed")


def wanted(view: View) -> dict[str, int | None]:
    """The rows whose plane is looked at; None where nobody chose one."""
    third = knob(view, "third")
    return {"row": view.sample, "beside": view.beside, "third": int(third) if third.isdecimal() else None}


def found(case: Case, view: View) -> Arrays:
    """The plane of these rows.

    Raises:
        BadInput: both models are still being asked about it.
    """
    plane = case.part(name_of(case.about.shape, *wanted(view).values()))
    if not plane:
        raise BadInput("Both models are being asked about this plane …")
    return plane


def draw(case: Case, view: View) -> bytes:
    plane = found(case, view)
    three = "corners" in plane
    here, places = (plane["near"], plane["near_places"]) if three else _all(case)
    drawn = np.arange(len(here)) if three else _drawn(case, view, here)
    labels = case.rows.labels[here[drawn]]
    shown, numbered = compact(plane, labels[labels >= 0])
    classes = np.where(labels >= 0, np.searchsorted(shown, labels), -1)
    colours = theme.classes(len(case.classes))
    head = {
        "step": 0,
        "size": len(plane["student_class"]),
        "extent": plain(plane["extent"]),
        **dressed([case.classes[k] for k in shown], [colours[k] for k in shown], view.theme),
        "points": [[*place, k] for place, k in zip(plain(places[drawn]), classes.tolist(), strict=True)],
        "probe_points": plain(places),
        "rows": here.tolist(),
        "teacher": "teacher_class" in plane,
        "agreement": _agreement(plane),
        "pinned": _place(here, places, view.sample),
        "beside": None if view.beside is None else _place(here, places, view.beside),
        "note": _note(case, plane, len(drawn)),
        "faces": _faces(case, plane) if three else [],
    }
    held = {**plane, **numbered}
    return packed(head, [held[name] for name in PLANES if name in held])


def _all(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """2-D rows, thinned, and their places."""
    assert case.pictures is not None
    here = thinned(len(case.rows), PINNED)
    return here, case.pictures[here]


def _drawn(case: Case, view: View, here: np.ndarray) -> np.ndarray:
    """Which of them are drawn: the selected ones, thinned."""
    meant = chosen(case, view.select)
    kept = np.arange(len(here)) if meant is None else np.flatnonzero(meant[here])
    return kept[thinned(len(kept), POINTS)] if len(kept) else kept


def _place(here: np.ndarray, places: np.ndarray, row: int) -> list[float] | None:
    at = np.flatnonzero(here == row)
    return plain(places[at[0]]) if len(at) else None


def _agreement(plane: Arrays) -> float | None:
    return float((plane["teacher_class"] == plane["student_class"]).mean()) if "teacher_class" in plane else None


def _faces(case: Case, plane: Arrays) -> list[list[Any]]:
    """The three rows as pictures at their corners."""
    if case.pictures is None or case.pictures.ndim != 4:
        return []
    return [
        [*plain(place), png_url(case.pictures[row])] for row, place in zip(plane["rows"], plane["corners"], strict=True)
    ]


def _note(case: Case, plane: Arrays, drawn: int) -> str:
    if "rows" not in plane:
        return f"{drawn:,} of {len(case.rows):,} rows are drawn."
    three = ", ".join(f"row {row} ({why})" for row, why in zip(plane["rows"], plane["why"], strict=True))
    clipped = "; pixels beyond 0 to 255 are clipped" if case.pictures is not None and case.pictures.ndim == 4 else ""
    near = len(plane["near"]) - 3
    others = f"; {near} more rows lie close to it" if near else ""
    return f"Through {three}{others}{clipped}."


def table(case: Case, view: View) -> dict[str, list[Any]]:
    plane = found(case, view)
    x, y = grid(plane["extent"], len(plane["student_class"])).T
    named = {name: plane[name].ravel().tolist() for name in PLANES if name in plane}
    return {"x": x.tolist(), "y": y.tolist(), **named}


PANEL = Panel(
    title="Decision regions on a plane",
    kind="field",
    caption=caption(asked),
    order=400,
    wide=True,
    lacks=needs.pictures,
    draw=draw,
    table=table,
)
