"""Both models' classes on a plane of a case, and its rows there, for the canvases that share zoom and cursor."""

from typing import Any, NamedTuple

import numpy as np

from app import theme
from app.panels import View
from app.panels._canvas import dressed, packed
from app.panels._figure import plain
from kdcore.comparison.case import Case
from kdcore.comparison.plane import compact, grid
from kdcore.comparison.selection import chosen
from kdcore.probes._numerics import Ints, thinned
from kdcore.runs.record import Arrays

POINTS = 400  # rows drawn at most
PLANES = ("teacher_class", "teacher_share", "student_class", "student_share", "followed")


class Spots(NamedTuple):
    """Rows on a plane."""

    rows: Ints  # (M,) those that a click can pin
    places: np.ndarray  # (M, 2)
    drawn: Ints  # which of the M are drawn


def some(case: Case, view: View, here: Ints) -> Ints:
    """Which of some rows are drawn: the selected ones, thinned."""
    meant = chosen(case, view.select)
    kept = np.arange(len(here)) if meant is None else np.flatnonzero(meant[here])
    return kept[thinned(len(kept), POINTS)] if len(kept) else kept


def regions(
    case: Case, view: View, plane: Arrays, spots: Spots, note: str, faces: list[list[Any]] | None = None
) -> bytes:
    """Return the bytes of the drawing; the note may say {drawn}."""
    labels = case.rows.labels[spots.rows[spots.drawn]]
    shown, numbered = compact(plane, labels[labels >= 0])
    classes = np.where(labels >= 0, np.searchsorted(shown, labels), -1).tolist()
    colours, two = theme.classes(len(case.classes), view.theme), "teacher_class" in plane
    head = {
        "step": 0,
        "size": len(plane["student_class"]),
        "extent": plain(plane["extent"]),
        **dressed([case.classes[k] for k in shown], [colours[k] for k in shown], view.theme),
        "points": [[*place, k] for place, k in zip(plain(spots.places[spots.drawn]), classes, strict=True)],
        "probe_points": plain(spots.places),
        "rows": spots.rows.tolist(),
        "teacher": two,
        "agreement": float((plane["teacher_class"] == plane["student_class"]).mean()) if two else None,
        "pinned": _place(spots, view.sample),
        "beside": None if view.beside is None else _place(spots, view.beside),
        "note": note.format(drawn=f"{len(spots.drawn):,}"),
        "faces": faces or [],
    }
    held = {**plane, **numbered}
    return packed(head, [held[name] for name in PLANES if name in held])


def _place(spots: Spots, row: int) -> list[float] | None:
    at = np.flatnonzero(spots.rows == row)
    return plain(spots.places[at[0]]) if len(at) else None


def columns(plane: Arrays) -> dict[str, list[Any]]:
    """Return the grid as columns: places, classes, shares of 255."""
    x, y = grid(plane["extent"], len(plane["student_class"])).T
    return {"x": x.tolist(), "y": y.tolist()} | {name: plane[name].ravel().tolist() for name in PLANES if name in plane}
