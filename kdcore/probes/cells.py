"""The plane of latents through three classes: what teacher and student call the image of each point."""

from dataclasses import dataclass

import numpy as np

from kdcore.probes._numerics import Floats, Ints
from kdcore.probes._rows import class_names
from kdcore.runs.record import Record

NAMED = 0.04  # share of the plane from which a cell is named


@dataclass(frozen=True)
class Corner:
    """A latent that the teacher's answers of one class point to."""

    name: str
    x: float
    y: float
    own: bool  # whether it lies in that class's cell of the teacher


@dataclass(frozen=True)
class Cells:
    """R x R cells; row 0 is the lowest."""

    x: Floats  # (R,) middles
    y: Floats  # (R,)
    teacher: Ints  # (R, R) places in `classes`
    student: Ints  # (R, R)
    classes: tuple[str, ...]  # those that either of them names, in order
    numbers: tuple[int, ...]  # of these among all classes
    corners: tuple[Corner, ...]
    names: tuple[tuple[str, float, float], ...]  # of the teacher's larger cells that no corner names, with middles
    border: tuple[tuple[float, float, float, float], ...]  # x0, y0, x1, y1 of each piece of the student's borders
    agreement: float  # share of the plane where both name the same class


def cells(record: Record) -> Cells:
    """Colours: the teacher's class for each latent's image; lines: the student's boundaries, which should match.

    The corners are latents that mean answers of three classes point to: a generator that inverts the teacher puts each
    into its own colour.
    """
    theirs, ours = (np.asarray(record.frame[f"cells_{who}"], dtype=np.int64) for who in ("teacher", "student"))
    x0, x1, y0, y1 = record.static["cells_extent"].astype(np.float64)
    edges = [np.linspace(low, high, len(theirs) + 1) for low, high in ((x0, x1), (y0, y1))]
    x, y = ((edge[1:] + edge[:-1]) / 2 for edge in edges)
    found = np.union1d(theirs, ours)
    every = class_names(record, int(max(found.max(), record.static["cells_classes"].max())) + 1)
    corners = _corners(record, theirs, edges, every)
    named = {corner.name for corner in corners if corner.own}
    return Cells(
        x=x,
        y=y,
        teacher=np.searchsorted(found, theirs),
        student=np.searchsorted(found, ours),
        classes=tuple(every[k] for k in found),
        numbers=tuple(found.tolist()),
        corners=corners,
        names=tuple(middle for middle in _middles(theirs, x, y, every) if middle[0] not in named),
        border=border(ours, *edges),
        agreement=float((theirs == ours).mean()),
    )


def _corners(record: Record, theirs: Ints, edges: list[Floats], names: tuple[str, ...]) -> tuple[Corner, ...]:
    corners = []
    for k, (x, y) in zip(record.static["cells_classes"].tolist(), record.static["cells_corners"].tolist(), strict=True):
        column, row = (int(np.searchsorted(edge, at)) - 1 for edge, at in zip(edges, (x, y), strict=True))
        corners.append(Corner(names[k], x, y, own=bool(theirs[row, column] == k)))
    return tuple(corners)


def _middles(classes: Ints, x: Floats, y: Floats, names: tuple[str, ...]) -> tuple[tuple[str, float, float], ...]:
    """Names of the larger cells, each at that point of its cell that is nearest to the cell's mean."""
    told = []
    for k in np.unique(classes):
        rows, columns = np.nonzero(classes == k)
        if len(rows) >= NAMED * classes.size:
            nearest = np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2)
            told.append((names[k], float(x[columns[nearest]]), float(y[rows[nearest]])))
    return tuple(told)


def border(classes: Ints, x: Floats, y: Floats) -> tuple[tuple[float, float, float, float], ...]:
    """Edges between neighbouring cells (R, R) of different classes, with the grid's lines x (R + 1,) and y (R + 1,)."""
    upright = [(x[c + 1], y[r], x[c + 1], y[r + 1]) for r, c in np.argwhere(classes[:, 1:] != classes[:, :-1])]
    level = [(x[c], y[r + 1], x[c + 1], y[r + 1]) for r, c in np.argwhere(classes[1:] != classes[:-1])]
    return tuple((float(a), float(b), float(c), float(d)) for a, b, c, d in upright + level)
