"""A plane through the rows' space, and what two models' answers on it say: margins, fragments, overlap.

Arrays of `plane-<key>.npz` (R x R points, row 0 at the bottom, places in units of the plane):
    extent (4,) as x0, x1, y0, y1; teacher_class, student_class (R, R) int16; teacher_share, student_share and followed
    (R, R) uint8, 255 for probability 1, the last the student's of the teacher's class; a case without a teacher has
    the student's two alone. Of a plane through three rows also rows (3,), why (3,) words, corners (3, 2), near (M,)
    rows that lie close to it, near_places (M, 2).
Arrays of `planes.npz`, of T planes through random rows: rows (T, 3), agreement (T,), fragments (T, 2) and margin
    (T, 3, 2), of teacher and student, and iou (T, C).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from kdcore.errors import BadInput
from kdcore.probes._numerics import Floats, Ints, softmax
from kdcore.runs.record import Arrays
from kdcore.study.study import half_width

MARGIN = 0.2  # of the longer side of the three rows' box, shown on each side of it
FINEST = 100  # points along a side
SMALLEST = 4  # grid points that a region must have to count
BEGINS = "plane-"  # begins the names of a case's planes
WHOLE = BEGINS + "whole"  # the name of the one of 2-D data


@dataclass(frozen=True)
class Plane:
    """Points origin + places @ axes, places (..., 2) in units of the rows' own space."""

    origin: Floats  # (F,)
    axes: Floats  # (2, F), orthonormal
    corners: Floats  # (3, 2) places of the three rows
    extent: Floats  # (4,) a square, as x0, x1, y0, y1

    def points(self, places: Floats) -> Floats:
        """(N, F) of places (N, 2)."""
        found: Floats = self.origin + places @ self.axes
        return found

    def places(self, points: Floats) -> tuple[Floats, Floats]:
        """Where points (N, F) fall on the plane, (N, 2), and how far from it they lie, (N,)."""
        apart = points - self.origin
        places = apart @ self.axes.T
        left = (apart**2).sum(1) - (places**2).sum(1)
        return places, np.sqrt(np.maximum(left, 0.0))


def through(a: Floats, b: Floats, c: Floats) -> Plane:
    """Return the plane through three rows (F,): a + u (b - a) + v (c - a), its axes made orthonormal by Gram and
    Schmidt.

    Raises:
        BadInput: they lie on one line.

    Source: Somepalli et al., Can Neural Nets Learn the Same Model Twice?, CVPR 2022.
    """
    first, second = b - a, c - a
    width = float(np.linalg.norm(first))
    across = first / width if width else first
    reach = float(second @ across)
    upward = second - reach * across
    height = float(np.linalg.norm(upward))
    if height <= 1e-6 * max(width, float(np.linalg.norm(second))) or not width:
        raise BadInput("These three rows lie on one line, so no plane is theirs alone; choose another third row.")
    corners = np.array([[0.0, 0.0], [width, 0.0], [reach, height]])
    return Plane(a, np.stack((across, upward / height)), corners, square(corners))


def square(places: Floats) -> Floats:
    """Return a square around places (M, 2), with a margin: (4,) as x0, x1, y0, y1."""
    low, high = places.min(0), places.max(0)
    half = float((high - low).max()) * (0.5 + MARGIN)
    (x, y) = (low + high) / 2
    return np.array([x - half, x + half, y - half, y + half])


def name_of(shape: tuple[int, ...], row: int, beside: int | None, third: int | None) -> str:
    """Return the name of the part that holds a plane: of 2-D data the whole one, else that of rows; None is a
    default.
    """
    if shape == (2,):
        return WHOLE
    return BEGINS + "-".join("x" if one is None else str(one) for one in (row, beside, third))


def grid(extent: np.ndarray, size: int) -> Floats:
    """Places (size * size, 2) of a square's points, row by row from the bottom."""
    x0, x1, y0, y1 = np.asarray(extent, dtype=np.float64)
    x, y = np.meshgrid(np.linspace(x0, x1, size), np.linspace(y0, y1, size))
    places: Floats = np.stack((x, y), axis=-1).reshape(-1, 2)
    return places


def three_rows(far: Floats, row: int, labels: Ints, answer: int, beside: int | None = None) -> list[tuple[int, str]]:
    """Three rows to lay a plane through, each with why: the pinned one, and the nearest of others where none is named.

    Args:
        far: (N,) how far each row is from the pinned one.
        row: the pinned one.
        labels: (N,) classes of the rows.
        answer: what the student says of the pinned row.
        beside: the second row, where one is pinned.

    Raises:
        BadInput: there are fewer than three different rows.
    """
    found = [(row, "pinned")]
    if beside is None:
        found.append(_nearest(far, labels != labels[row], found, "the nearest of another class"))
    else:
        found.append((beside, "pinned beside"))
    taken = {int(labels[one]) for one, _ in found}
    if answer not in taken and (labels == answer).any():
        return [*found, _nearest(far, labels == answer, found, "the nearest of the student's answer")]
    return [*found, _nearest(far, ~np.isin(labels, list(taken)), found, "the nearest of a third class")]


def _nearest(far: Floats, meant: np.ndarray, taken: list[tuple[int, str]], why: str) -> tuple[int, str]:
    """Return the nearest of the rows that are meant, or of all where none is; what looks as the pinned row is left
    out.
    """
    free = far > 0
    free[[row for row, _ in taken]] = False
    if not free.any():
        raise BadInput("There are fewer than three different rows here, so no plane lies through them.")
    if not (free & meant).any():
        meant, why = free, "the nearest of the others"
    return int(np.where(free & meant, far, np.inf).argmin()), why


# What the answers on a plane say


def fragments(classes: Ints, smallest: int = SMALLEST) -> int:
    """Return connected regions of one class in a grid (R, R), of at least `smallest` points; corners do not connect."""
    counts = [np.bincount(ndimage.label(classes == k)[0].ravel())[1:] for k in np.unique(classes)]
    return int(sum((count >= smallest).sum() for count in counts))


def overlap(teacher: Ints, student: Ints, classes: int) -> Floats:
    """(C,) intersection over union of both models' regions of each class in the plane; NaN of a class with none.

    Source: Jaccard, The Distribution of the Flora in the Alpine Zone, New Phytologist 11, 1912.
    """
    both = np.bincount(teacher[teacher == student].ravel(), minlength=classes)
    either = np.bincount(teacher.ravel(), minlength=classes) + np.bincount(student.ravel(), minlength=classes) - both
    found: Floats = np.divide(both, either, out=np.full(classes, np.nan), where=either > 0)
    return found


def margins(classes: Ints, extent: np.ndarray, places: Floats) -> Floats:
    """(M,) how far the nearest grid point with another answer is from each of some places (M, 2); infinite if none.

    The answer of a place is that of its nearest grid point, so a margin is exact to one step of the grid.
    """
    size = len(classes)
    points, flat = grid(extent, size), classes.ravel()
    found = np.full(len(places), np.inf)
    for at, place in enumerate(places):
        far = np.hypot(*(points - place).T)
        other = flat != flat[far.argmin()]
        if other.any():
            found[at] = far[other].min()
    return found


@dataclass(frozen=True)
class Measures:
    """What the answers on one plane say; the last axis is teacher and student, or the student alone."""

    rows: Ints  # (M,) whose margins are told
    margin: Floats  # (M, 1 or 2) in units of the plane
    fragments: Ints  # (1 or 2,)
    iou: Floats  # (C,) NaN where neither model names the class, or there is no teacher
    agreement: float  # share of the plane with the same answer


def measures(plane: Arrays, classes: int, rows: Ints, places: Floats) -> Measures:
    """Distance of each sample to the decision boundary, number of regions of each model, and their overlap.

    A student may agree with its teacher on every row and still cut the plane otherwise: then it has other reasons.

    Args:
        plane: its answers.
        classes: how many there are.
        rows: (M,) numbers of the rows whose margins are told.
        places: (M, 2) theirs.
    """
    named = [name for name in ("teacher_class", "student_class") if name in plane]
    fields = [plane[name].astype(np.int64) for name in named]
    two = len(fields) == 2
    return Measures(
        rows=rows,
        margin=np.stack([margins(field, plane["extent"], places) for field in fields], axis=1),
        fragments=np.array([fragments(field) for field in fields]),
        iou=overlap(fields[0], fields[1], classes) if two else np.full(classes, np.nan),
        agreement=float((fields[0] == fields[1]).mean()) if two else float("nan"),
    )


def interval(values: Floats) -> tuple[float, float, float]:
    """Mean of independent values that are numbers, and the ends of its 95 % interval; NaN ends of fewer than two."""
    known = values[np.isfinite(values)]
    mean, half = (float(known.mean()) if len(known) else float("nan")), half_width(known.tolist())
    return mean, mean - half, mean + half


def compact(plane: Arrays, also: Ints) -> tuple[Ints, dict[str, np.ndarray]]:
    """Return the classes (K,) that occur on a plane or in `also`, and the plane's own as their places among them, in
    bytes.

    Raises:
        BadInput: more than 256 occur.
    """
    named = [name for name in ("teacher_class", "student_class") if name in plane]
    shown = np.unique(np.concatenate([also, *(plane[name].ravel() for name in named)])).astype(np.int64)
    if len(shown) > 256:
        raise BadInput(f"{len(shown)} classes occur on this plane, but 256 colours are the most that can be told.")
    return shown, {name: np.searchsorted(shown, plane[name]).astype(np.uint8) for name in named}


Ask = Callable[[Floats], np.ndarray]  # places (N, 2) -> logits (N, C)


def asked(extent: np.ndarray, size: int, student: Ask, teacher: Ask | None) -> dict[str, np.ndarray]:
    """Colour is the predicted class, strength its confidence; between three images lie their mixtures.

    Args:
        extent: the square (4,).
        size: points along its side.
        student, teacher: what they say at places; there may be no teacher.

    Returns:
        What `plane-<key>.npz` holds of them.
    """
    places = grid(extent, size)
    found = {"extent": np.asarray(extent, dtype=np.float64)}
    shares = {"student": softmax(student(places))}
    if teacher:
        shares = {"teacher": softmax(teacher(places)), **shares}
    for role, share in shares.items():
        share = np.nan_to_num(share)  # of answers that are no numbers
        found[f"{role}_class"] = share.argmax(1).astype(np.int16).reshape(size, size)
        found[f"{role}_share"] = _byte(share.max(1), size)
    if teacher:
        top = found["teacher_class"].ravel().astype(np.int64)
        found["followed"] = _byte(shares["student"][np.arange(len(top)), top], size)
    return found


def _byte(share: Floats, size: int) -> np.ndarray:
    return (share * 255 + 0.5).astype(np.uint8).reshape(size, size)
