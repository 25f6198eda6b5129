"""Cases for tests, written to a folder as the examiner writes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kdcore.comparison.case import About, Case, Side, write_about
from kdcore.runs.record import write_arrays


def case(
    folder: Path,
    labels: np.ndarray,
    student: np.ndarray,
    teacher: np.ndarray | None = None,
    pictures: np.ndarray | None = None,
    columns: dict[str, np.ndarray] | None = None,
    classes: tuple[str, ...] = (),
    **parts: dict[str, np.ndarray],
) -> Case:
    """A case of these logits (N, C); `parts` are further arrays by the name of their task."""
    rows = {"labels": np.asarray(labels, dtype=np.int64), "student_logits": np.asarray(student, dtype=np.float32)}
    if teacher is not None:
        rows["teacher_logits"] = np.asarray(teacher, dtype=np.float32)
    write_arrays(folder / "rows.npz", rows, compress=False)
    if pictures is not None:
        np.save(folder / "pictures.npy", pictures)
    for name, arrays in {"columns": columns or {}, **parts}.items():
        write_arrays(folder / f"{name}.npz", arrays, compress=False)
    named = classes or tuple(f"class {k}" for k in range(np.asarray(student).shape[1]))
    sides = {"student": Side(title="student"), "teacher": Side(title="teacher") if teacher is not None else None}
    write_about(folder, About(classes=named, shape=() if pictures is None else pictures.shape[1:], **sides))
    return Case(folder)


def random_case(folder: Path, rows: int = 200, classes: int = 4, seed: int = 0) -> Case:
    """A case of a student that is a noisy copy of a teacher that is mostly right."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, rows)
    teacher = rng.normal(size=(rows, classes)) + 3 * np.eye(classes)[labels]
    student = 0.7 * teacher + rng.normal(size=(rows, classes))
    pictures = rng.integers(0, 256, (rows, 1, 8, 8), dtype=np.uint8)
    return case(folder, labels, student, teacher, pictures, {"brightness": pictures.mean((1, 2, 3)) / 255})
