"""Both models on one plane: through three rows of a case, or all around 2-D data; kept as plane-<rows>.npz."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kdcore.comparison.plane import BEGINS, FINEST, Ask, Plane, asked, name_of, three_rows, through
from kdcore.comparison.tasks.pair import ComparedModel, ComparedPair
from kdcore.probes.field import surrounding
from kdcore.runs.record import read_arrays, write_arrays, written_ns

SIZES = (24, FINEST)  # points along a side: a first look, then the whole
CHUNK = 1024  # rows at a time
KEPT = 32  # planes of a case, the newest
NEAR = 0.5  # of the shortest side between the three rows: rows this close to the plane are drawn on it


def answer(pair: ComparedPair, wish: Mapping[str, Any]) -> dict[str, Any]:
    """Write the plane of "row", "beside" and "third" (None is the default that fits), coarse first; its name."""
    row, beside, third = wish["row"], wish.get("beside"), wish.get("third")
    name = name_of(pair.shape, row, beside, third)
    path = pair.folder / f"{name}.npz"
    if len(read_arrays(path).get("student_class", ())) == SIZES[-1]:
        return {"name": name}
    plane, rows = (None, {}) if pair.shape == (2,) else _through(pair, row, beside, third)
    extent = plane.extent if plane else surrounding(pair.train_x.numpy())
    teacher = asking(pair, pair.teacher, plane) if pair.teacher else None
    for size in SIZES:
        found = asked(extent, size, asking(pair, pair.student, plane), teacher)
        write_arrays(path, {**rows, **found}, compress=False)
    _forget(pair.folder)
    return {"name": name}


def unit(pair: ComparedPair) -> float:
    """Return what the rows' values are divided by: pixels count from 0 to 1."""
    return 255.0 if len(pair.shape) == 3 else 1.0


def flat(pair: ComparedPair, rows: list[int] | slice) -> np.ndarray:
    """Return some of the case's rows (M, F) float64 in the units of planes."""
    x = pair.x[rows]
    return x.reshape(len(x), -1).numpy().astype(np.float64) / unit(pair)


def asking(pair: ComparedPair, model: ComparedModel, plane: Plane | None) -> Ask:
    """Return a model as a function of places (N, 2); pixels outside 0..255 are clipped, so each place is an image."""

    def ask(places: np.ndarray) -> np.ndarray:
        parts = [places[at : at + CHUNK] for at in range(0, len(places), CHUNK)]
        return np.concatenate([model.logits(_points(pair, plane, part)).numpy() for part in parts])

    return ask


def _points(pair: ComparedPair, plane: Plane | None, places: np.ndarray) -> torch.Tensor:
    points = (plane.points(places) if plane else places) * unit(pair)
    shown = points.clip(0, 255) if len(pair.shape) == 3 else points
    return torch.from_numpy(shown.astype(np.float32)).reshape(-1, *pair.shape)


def _through(
    pair: ComparedPair, row: int, beside: int | None, third: int | None
) -> tuple[Plane, dict[str, np.ndarray]]:
    """Return the plane through three rows, which they are, and what else lies close to it."""
    for one in (row, beside, third):
        pair.row(0 if one is None else one)
    said = int(pair.student.logits(pair.row(row)).argmax())
    chosen = three_rows(_far(pair, row), row, pair.labels, said, beside)
    if third is not None:
        chosen[2] = (third, "pinned third")
    rows = [one for one, _ in chosen]
    plane = through(*flat(pair, rows))
    near, places = _close(pair, plane, rows)
    return plane, {
        "rows": np.array(rows),
        "why": np.array([why for _, why in chosen]),
        "corners": plane.corners,
        "near": near,
        "near_places": places,
    }


def _far(pair: ComparedPair, row: int) -> np.ndarray:
    """(N,) distance of each of the case's rows from one."""
    own = flat(pair, [row])
    chunks = (slice(at, at + CHUNK) for at in range(0, len(pair.x), CHUNK))
    return np.concatenate([np.linalg.norm(flat(pair, chunk) - own, axis=1) for chunk in chunks])


def _close(pair: ComparedPair, plane: Plane, rows: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Rows that lie close to the plane and within its square, the three among them, and their places on it."""
    sides = np.linalg.norm(plane.corners - np.roll(plane.corners, 1, axis=0), axis=1)
    near, found = [np.array(rows)], [plane.corners]
    x0, x1, y0, y1 = plane.extent
    for at in range(0, len(pair.x), CHUNK):
        places, apart = plane.places(flat(pair, slice(at, at + CHUNK)))
        inside = (places >= (x0, y0)).all(1) & (places <= (x1, y1)).all(1) & (apart <= NEAR * sides.min())
        here = np.setdiff1d(np.flatnonzero(inside) + at, rows)
        near.append(here)
        found.append(places[here - at])
    return np.concatenate(near), np.concatenate(found)


def _forget(folder: Path) -> None:
    """Keep only the newest planes."""
    kept = sorted(folder.glob(f"{BEGINS}*.npz"), key=written_ns)
    for path in kept[:-KEPT]:
        path.unlink(missing_ok=True)
