"""Where in the plane each network says which class, and how surely."""

from dataclasses import dataclass

import numpy as np

from kdcore.probes._numerics import Ints, thinned
from kdcore.probes._rows import pinned_row
from kdcore.runs.record import Arrays, Record

POINTS = 400  # training points drawn at most


@dataclass(frozen=True)
class Ground:
    """What stays while a run goes on."""

    extent: np.ndarray  # (4,) x0, x1, y0, y1
    size: int  # R
    points: np.ndarray  # (M, 2) training points, evenly thinned
    point_classes: Ints  # (M,) int64, -1 where unlabelled
    probe_points: np.ndarray  # (N, 2)


@dataclass(frozen=True)
class Field:
    """Planes (R, R) uint8, row 0 at the bottom; 255 is probability 1."""

    step: int
    pinned: int  # row of the probe set
    planes: dict[str, np.ndarray]  # teacher's two first, the student's third about the teacher's class last
    agreement: float | None  # fraction of the plane where both say the same class


def ground(static: Arrays, size: int) -> Ground:
    """The plane and the points on it; `size` is R."""
    kept = thinned(len(static["train_points"]), POINTS)
    return Ground(
        extent=static["extent"],
        size=size,
        points=static["train_points"][kept],
        point_classes=static["train_labels"][kept],
        probe_points=static["probe_x"],
    )


def field(record: Record, sample: int) -> Field:
    """Colour is the predicted class, strength its confidence; third plot: where student and teacher differ."""
    pinned = pinned_row(record, sample)
    student = {"student_class": record.frame["field_class"], "student_share": record.frame["field_share"]}
    if "teacher_field_class" not in record.static or "field_teacher_share" not in record.frame:
        return Field(record.step, pinned, student, None)
    teacher_class = record.static["teacher_field_class"]
    planes = {"teacher_class": teacher_class, "teacher_share": record.static["teacher_field_share"], **student}
    planes["student_share_of_teacher_class"] = record.frame["field_teacher_share"]
    if len({plane.shape for plane in planes.values()}) > 1:
        raise ValueError("the planes of both networks have different sizes")
    return Field(record.step, pinned, planes, float((teacher_class == student["student_class"]).mean()))


def surrounding(points: np.ndarray) -> np.ndarray:
    """A square around points (M, 2), with a margin: (4,) float32 as x0, x1, y0, y1."""
    low, high = points.min(0), points.max(0)
    half = float((high - low).max()) * 0.58
    (x, y) = (low + high) / 2
    return np.array([x - half, x + half, y - half, y + half], dtype=np.float32)


def coordinates(extent: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """x and y of the plane's points, each (R, R)."""
    x0, x1, y0, y1 = extent
    x, y = np.meshgrid(np.linspace(x0, x1, size), np.linspace(y0, y1, size))
    return x, y
