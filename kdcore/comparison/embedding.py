"""Rows of a case as points: where teacher and student put them, in coordinates that can be compared.

Arrays of `embedding.npz`: x, y (N,) the student's places, teacher_x, teacher_y (N,) the teacher's, NaN where a row was
left out; of () which arrays were laid out ("features" or "logits"); laid () rows that were laid out themselves, the
others stand at the mean of their nearest; neighbours () and apart (), the two knobs of UMAP.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kdcore.comparison.cache import kept
from kdcore.comparison.case import Case, Rows
from kdcore.probes._numerics import Floats, Ints, thinned
from kdcore.runs.record import Arrays

PART = "embedding"
FIRST = "logits"  # the name of the first view, which needs no task
SAMPLED = 5000  # rows from which the axes of a projection are computed
DRAWN = 10_000  # rows drawn at most
Bools = NDArray[np.bool_]
LINED = 200  # rows whose way from the teacher's place to the student's is drawn


def axes(values: np.ndarray, count: int = 2) -> tuple[Floats, Floats]:
    """Mean (K,) and principal axes (count, K) of rows (N, K), the widest first; each axis's largest entry is positive.

    Source: Pearson, On Lines and Planes of Closest Fit, Philosophical Magazine 2, 1901.
    """
    finite = values[np.isfinite(values).all(1)][:SAMPLED].astype(np.float64)
    if len(finite) == 0:
        return np.zeros(values.shape[1]), np.zeros((count, values.shape[1]))
    mean = finite.mean(0)
    spread = (finite - mean).T @ (finite - mean)
    found = np.linalg.eigh(spread)[1][:, ::-1][:, :count].T
    signs = np.sign(found[np.arange(len(found)), np.abs(found).argmax(1)])
    missing = np.zeros((count - len(found), values.shape[1]))
    return mean, np.concatenate([found * signs[:, None], missing])


def projected(values: np.ndarray) -> Floats:
    """Rows (N, K) on their two principal axes: (N, 2)."""
    mean, found = axes(values)
    places: Floats = (values.astype(np.float64) - mean) @ found.T
    return places


def aligned(moved: Floats, onto: Floats) -> Floats:
    """Points (N, 2) turned, mirrored, scaled and shifted so that they lie as close to others (N, 2) as they can.

    Source: Schönemann, A Generalized Solution of the Orthogonal Procrustes Problem, Psychometrika 31, 1966.
    """
    known = np.isfinite(moved).all(1) & np.isfinite(onto).all(1)
    if not known.any():
        return moved
    here, there = moved[known].mean(0), onto[known].mean(0)
    left, sizes, right = np.linalg.svd((moved[known] - here).T @ (onto[known] - there))
    own = ((moved[known] - here) ** 2).sum()
    scale = sizes.sum() / own if own > 0 else 1.0
    placed: Floats = (moved - here) @ (left @ right) * scale + there
    return placed


def first_view(case: Case) -> Arrays:
    """Both models' logits on the teacher's or, without one, the student's two principal axes; at once, without UMAP."""
    return _first_view(case.folder, (case.folder / "rows.npz").stat().st_mtime_ns)


@kept
def _first_view(folder: Path, _: int) -> Arrays:
    rows = Case(folder).rows
    ours = projected(rows.student)
    found: dict[str, np.ndarray] = {"of": np.array("logits")}
    if rows.teacher is not None:
        theirs = projected(rows.teacher)
        ours = aligned(ours, theirs)
        found |= {"teacher_x": theirs[:, 0], "teacher_y": theirs[:, 1]}
    return found | {"x": ours[:, 0], "y": ours[:, 1]}


def plane_of(case: Case, name: str) -> tuple[Floats, Floats] | None:
    """Coordinates (N,) of the rows in a plane; None where there is none of that name.

    Args:
        name: a part with "x" and "y", FIRST, or either and ".teacher" for where the teacher has them.
    """
    part, _, side = name.partition(".")
    known = case.part(part) or (first_view(case) if part == FIRST else {})
    x, y = (f"{side}_x", f"{side}_y") if side else ("x", "y")
    return (known[x], known[y]) if x in known and y in known else None


def placed_by_neighbours(values: np.ndarray, laid: Ints, places: Floats, count: int = 5) -> Floats:
    """(N, 2) places of all rows (N, K): those laid out have theirs, any other the mean of its nearest among them."""
    found = np.full((len(values), 2), np.nan)
    found[laid] = places
    rest = np.setdiff1d(np.arange(len(values)), laid)
    known = values[laid].astype(np.float32)
    size = (known**2).sum(1)
    for at in range(0, len(rest), 1024):
        here = rest[at : at + 1024]
        far = size - 2 * values[here].astype(np.float32) @ known.T  # and the row's own size, the same for all
        nearest = np.argpartition(far, min(count, len(laid)) - 1, axis=1)[:, :count]
        found[here] = places[nearest].mean(1)
    return found


@dataclass(frozen=True)
class DrawnRows:
    """Which rows of an embedding are drawn."""

    rows: Ints  # (M,) ascending
    meant: Bools  # (M,) which of them are selected
    ways: Ints  # rows whose two places are joined
    hidden: int  # rows that were left out to keep the drawing quick


def drawn(rows: Rows, plane: Arrays, meant: Bools | None, pinned: tuple[int, ...]) -> DrawnRows:
    """Each point is a sample, near those the model finds similar; lines connect the teacher's and the student's points.

    Selected rows, rows on which the two disagree and pinned ones are kept first where there are more than DRAWN.
    """
    known = np.isfinite(plane["x"])
    differs = rows.student_top != rows.teacher_top if rows.teacher is not None else np.zeros(len(rows), dtype=np.bool_)
    first = differs if meant is None else meant
    kept = first & known
    kept[[row for row in pinned if row < len(rows) and known[row]]] = True
    foremost, others = np.flatnonzero(kept), np.flatnonzero(known & ~kept)
    foremost = foremost[thinned(len(foremost), DRAWN)] if len(foremost) > DRAWN else foremost
    room = DRAWN - len(foremost)
    others = others[thinned(len(others), room)] if len(others) > room else others
    shown = np.sort(np.concatenate([foremost, others]))
    ways = np.flatnonzero(first & known & (differs if meant is None else True))
    return DrawnRows(
        rows=shown,
        meant=np.ones(len(shown), dtype=np.bool_) if meant is None else meant[shown],
        ways=_urgent(rows, ways) if rows.teacher is not None else ways[:0],
        hidden=int(known.sum()) - len(shown),
    )


def _urgent(rows: Rows, here: Ints) -> Ints:
    """Return the rows with the largest KL(teacher || student)."""
    order = np.argsort(-np.nan_to_num(rows.kl[here], nan=np.inf), kind="stable")
    return here[order[:LINED]]
