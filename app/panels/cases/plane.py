"""Which class each model says where on a plane: through three rows, or all around 2-D data."""

from typing import Any, NamedTuple

import numpy as np

from app.panels import BadInput, Panel, View, caption, knob
from app.panels._figure import plain
from app.panels._png import png_url
from app.panels.cases import _needs as needs
from app.panels.cases._regions import Spots, columns, regions, some
from kdcore.comparison.case import Case
from kdcore.comparison.plane import asked, name_of
from kdcore.probes._numerics import thinned
from kdcore.runs.record import Arrays

PINNED = 4000  # rows that a click can pin at most


class Corners(NamedTuple):
    """The rows whose plane is looked at; None where nobody chose one."""

    row: int
    beside: int | None
    third: int | None


def wanted(view: View) -> Corners:
    """Return the rows whose plane a view looks at."""
    third = knob(view, "third")
    return Corners(view.sample, view.beside, int(third) if third.isdecimal() else None)


def found(case: Case, view: View) -> Arrays:
    """Return the plane of these rows.

    Raises:
        BadInput: both models are still being asked about it.
    """
    plane = case.part(name_of(case.about.shape, *wanted(view)))
    if not plane:
        raise BadInput("Evaluating both models on this plane …")
    return plane


def draw(case: Case, view: View) -> bytes:
    plane = found(case, view)
    if "rows" not in plane:
        here, places = _all(case)
        note = f"{{drawn}} of {len(case.rows):,} rows are drawn."
        return regions(case, view, plane, Spots(here, places, some(case, view, here)), note)
    here, places = plane["near"], plane["near_places"]
    return regions(
        case, view, plane, Spots(here, places, np.arange(len(here))), _note(case, plane), _faces(case, plane)
    )


def _all(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """2-D rows, thinned, and their places."""
    assert case.pictures is not None
    here = thinned(len(case.rows), PINNED)
    return here, case.pictures[here]


def _faces(case: Case, plane: Arrays) -> list[list[Any]]:
    """Return the three rows as pictures at their corners."""
    pictures = case.pictures
    if pictures is None or pictures.ndim != 4:
        return []
    return [[*plain(place), png_url(pictures[row])] for row, place in zip(plane["rows"], plane["corners"], strict=True)]


def _note(case: Case, plane: Arrays) -> str:
    three = ", ".join(f"row {row} ({why})" for row, why in zip(plane["rows"], plane["why"], strict=True))
    clipped = "; pixels beyond 0 to 255 are clipped" if len(case.about.shape) == 3 else ""
    near = len(plane["near"]) - 3
    return f"Through {three}" + (f"; {near} more rows lie close to it" if near else "") + f"{clipped}."


def table(case: Case, view: View) -> dict[str, list[Any]]:
    return columns(found(case, view))


PANEL = Panel(
    title="Decision regions on a plane",
    kind="field",
    caption=caption(asked),
    order=400,
    wide=True,
    lacks=needs.pictures,
    draw=draw,
    table=table,
    pictured=True,
)
