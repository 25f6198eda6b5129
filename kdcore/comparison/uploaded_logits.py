"""A case made of answers that somebody brings: an npz of logits and labels, checked before anything of it is kept.

    student_logits (N, C), labels (N,) whole numbers, -1 where unknown        these two are needed
    student_probabilities, teacher_probabilities (N, C)                       in place of logits; their logarithm counts
    teacher_logits (N, C), classes (C,) names, images (N, H, W), (N, K, H, W) or (N, H, W, K)   these may be there
    <any other name> (N,) numbers                                             become columns for slices and selections

Nothing in the file is unpickled: sizes, types and shapes are read from the heads of its arrays, and a file whose arrays
are too large, of Python objects, or of other sizes than they say is refused before they are read.
"""

from __future__ import annotations

import hashlib
import io
import shutil
import zipfile
from difflib import get_close_matches
from math import prod
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from kdcore.atomic import draft_beside
from kdcore.comparison.case import About, Case, Side, folder_of, write_about
from kdcore.comparison.image_statistics import measured
from kdcore.comparison.question import MOST_ROWS
from kdcore.comparison.user_columns import check_names, read_columns
from kdcore.errors import BadInput, printable
from kdcore.files.logit_check import logarithms, probable
from kdcore.runs.record import MOST_ARRAYS as MOST_COLUMNS
from kdcore.runs.record import Arrays, write_arrays
from kdcore.untrusted import parsing, unzipping

LIMIT_BYTES = 2 << 30  # of all arrays, unpacked
MOST_ARRAYS = 64
MOST_CLASSES = 10_000
KNOWN = ("student_logits", "teacher_logits", "labels", "classes", "images")
PROBABILITIES = {"student_probabilities": "student_logits", "teacher_probabilities": "teacher_logits"}
SUM_ERROR = 0.02  # how far from 1 rounded probabilities may sum
NEEDED = ("student_logits", "labels")
REMEDY = "write it with numpy.savez(student_logits=..., teacher_logits=..., labels=...)"


class UploadedLogits(NamedTuple):
    """What a file holds, checked."""

    rows: Arrays  # as rows.npz of a case
    classes: tuple[str, ...]
    images: np.ndarray | None  # (N, K, H, W) uint8
    columns: dict[str, np.ndarray]  # (N,) float64 by name
    notes: tuple[str, ...] = ()


def open_file(content: bytes | Path, title: str) -> str:
    """Make a case of an npz of answers; its id. The same content under the same title is the same case.

    Raises:
        BadInput: the file is refused; nothing of it is kept.
    """
    given = read(content)
    data = content if isinstance(content, bytes) else content.read_bytes()
    case_id = f"case-{hashlib.sha256(title.encode() + data).hexdigest()[:12]}"
    if not (folder_of(case_id) / "about.json").exists():
        _write(folder_of(case_id), given, title)
    return case_id


def read(content: bytes | Path) -> UploadedLogits:
    """Return the arrays of an npz.

    Raises:
        BadInput: it is no npz, too large, holds Python objects, or its arrays do not go together.
    """
    with (
        parsing("The file is no npz that can be read", REMEDY),
        io.BytesIO(content) if isinstance(content, bytes) else content.open("rb") as file,
        unzipping(file, MOST_ARRAYS) as archive,
    ):
        arrays = _arrays(archive)
    with parsing("The arrays of the file do not go together", REMEDY):
        return _checked(_as_logits(arrays))


def _arrays(archive: zipfile.ZipFile) -> dict[str, np.ndarray]:
    """All arrays, after a look at what they will take."""
    entries = archive.infolist()
    size_bytes = sum(entry.file_size for entry in entries)
    if size_bytes > LIMIT_BYTES:
        raise BadInput(
            f"The file unpacks to {size_bytes / 2**30:.1f} GB, but at most {LIMIT_BYTES >> 30} are taken; give fewer "
            "rows or float32."
        )
    return {entry.filename.removesuffix(".npy"): _array(archive, entry) for entry in entries}


def _array(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> np.ndarray:
    """One array, once its head agrees with its size, so that no more memory is taken than the file may fill."""
    name = entry.filename.removesuffix(".npy")[:60]
    with archive.open(entry) as stored:
        with parsing(f"{name!r} in the file is no numpy array", "write it anew"):
            shape, dtype = _head(stored)
        if dtype.hasobject:
            raise BadInput(
                f"{name!r} holds Python objects, which could run code when they are read, so they were not; give an "
                "array of numbers, or of text for classes."
            )
        if prod(shape) * dtype.itemsize != entry.file_size - stored.tell():
            raise BadInput(f"{name!r} says it is {_sizes(shape)} of {dtype}, but has another size; write it anew.")
    with archive.open(entry) as stored:
        found: np.ndarray = np.lib.format.read_array(stored, allow_pickle=False)
        return found


def _head(stored: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = np.lib.format.read_magic(stored)
    read_head = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
    if read_head is None:
        raise ValueError(f"version {version} of the format is not known")
    shape, _, dtype = read_head(stored)
    return shape, dtype


def _as_logits(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the arrays with logits in the place of probabilities.

    Raises:
        BadInput: probabilities are none, or logits are given beside them.
    """
    for name, logits in PROBABILITIES.items():
        if name not in arrays:
            continue
        if logits in arrays:
            raise BadInput(f"The file has both {logits!r} and {name!r}; leave one of them out.")
        rows = _numbers(name, arrays[name])
        if (rows < 0).any() or (np.abs(rows.sum(1) - 1) > SUM_ERROR).any():
            raise BadInput(f"{name!r} are no probabilities, as some are negative or rows do not sum to 1; mend them.")
        arrays = {one: values for one, values in arrays.items() if one != name} | {logits: logarithms(rows)}
    return arrays


def _checked(arrays: dict[str, np.ndarray]) -> UploadedLogits:
    for name in NEEDED:
        if name not in arrays:
            has = ", ".join(sorted(arrays))[:200] or "nothing"
            raise BadInput(f"The file has no {name!r}; it has: {has}.{_meant(arrays)}")
    logits = _logits("student_logits", arrays["student_logits"])
    count, classes = logits.shape
    rows = {"student_logits": logits, "index": np.arange(count)}
    if "teacher_logits" in arrays:  # before the labels, which fit no class count if the two models' differ
        rows["teacher_logits"] = _logits("teacher_logits", arrays["teacher_logits"])
        if rows["teacher_logits"].shape != logits.shape:
            raise BadInput(
                f"'teacher_logits' is {_sizes(rows['teacher_logits'].shape)}, but 'student_logits' is "
                f"{_sizes(logits.shape)}; both must be rows times classes, for the same rows and classes in one order."
            )
    rows["labels"] = _labels(arrays["labels"], count, classes)
    images, notes = _images(arrays["images"], count) if "images" in arrays else (None, ())
    meant = _meant(arrays)
    further = {name: _column(name, values, count, meant) for name, values in arrays.items() if name not in KNOWN}
    check_names(further)
    return UploadedLogits(rows, _names(arrays.get("classes"), classes), images, further, notes)


def _meant(arrays: dict[str, np.ndarray]) -> str:
    """Which arrays may be known ones under other names: all at once, so that nobody mends a file name by name."""
    absent = [name for name in KNOWN if name not in arrays]
    near = {
        name: get_close_matches(name, absent, n=1, cutoff=0.5)
        for name, values in arrays.items()
        if name not in KNOWN and (values.ndim > 1 or "labels" in absent)  # a column has a name of its own
    }
    meant = [f"{name[:60]!r} as {found[0]!r}" for name, found in near.items() if found]
    return f" Did you mean {' and '.join(meant)}? Name them so." if meant else ""


def _logits(name: str, values: np.ndarray) -> np.ndarray:
    """(N, C) float32, all finite, and none that look like probabilities."""
    found = _numbers(name, values)
    if probable(found):
        raise BadInput(
            f"{name!r} looks like probabilities, as in each row none is negative and all sum to 1; name it "
            f"{name.replace('logits', 'probabilities')!r}, or add 1 to all of it if it is logits all the same."
        )
    return found


def _numbers(name: str, values: np.ndarray) -> np.ndarray:
    """(N, C) float32, all finite."""
    if values.ndim != 2 or values.dtype.kind not in "fiu" or values.shape[0] < 1 or values.shape[1] < 2:
        raise BadInput(f"{name!r} must be rows times classes of numbers, but is {_sizes(values.shape)} {values.dtype}.")
    if len(values) > MOST_ROWS or values.shape[1] > MOST_CLASSES:
        raise BadInput(
            f"{name!r} is {_sizes(values.shape)}, but at most {MOST_ROWS:,} rows and {MOST_CLASSES:,} classes are "
            "taken; give fewer."
        )
    with np.errstate(over="ignore"):
        found: np.ndarray = values.astype(np.float32)
    broken = np.flatnonzero(~np.isfinite(found).all(1))
    if len(broken):
        raise BadInput(
            f"{name!r} has NaN or infinite values in {len(broken):,} of {len(found):,} rows, first in row {broken[0]}; "
            "leave these rows out."
        )
    return found


def _labels(values: np.ndarray, count: int, classes: int) -> np.ndarray:
    """(N,) int64."""
    if values.shape != (count,) or values.dtype.kind not in "fiu":
        raise BadInput(f"'labels' must be {count} whole numbers, but is {_sizes(values.shape)} {values.dtype}.")
    wrong = np.flatnonzero(~((values >= -1) & (values < classes) & (values == np.floor(values))))
    if len(wrong):
        raise BadInput(
            f"'labels' has {values[wrong[0]]} in row {wrong[0]}, but with {classes} classes labels are 0 to "
            f"{classes - 1}, or -1 where unknown; {len(wrong):,} of {count:,} rows are wrong."
        )
    return values.astype(np.int64)


def _names(values: np.ndarray | None, classes: int) -> tuple[str, ...]:
    if values is None:
        return tuple(f"class {place}" for place in range(classes))
    if values.shape != (classes,) or values.dtype.kind not in "US":
        raise BadInput(
            f"'classes' must be {classes} names, as the logits have columns, but is {_sizes(values.shape)} "
            f"{values.dtype}; give an array of text."
        )
    with parsing("'classes' holds bytes that are not ASCII", "give an array of text (dtype U)"):
        found = tuple(printable(str(name)[:100]) for name in values.astype(str))
    if len(set(found)) < classes:
        raise BadInput(f"'classes' must be {classes} different names; {_twice(found)!r} is there twice.")
    return found


def _twice(names: tuple[str, ...]) -> str:
    return next(name for place, name in enumerate(names) if name in names[:place])


def _images(values: np.ndarray, count: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """(N, K, H, W) uint8, and what was done to them."""
    notes = []
    found = values[:, None] if values.ndim == 3 else values
    if found.ndim == 4 and found.shape[1] not in (1, 3) and found.shape[3] in (1, 3):
        found = found.transpose(0, 3, 1, 2)
        notes.append("Images were given with their channels last.")
    if found.ndim != 4 or len(found) != count or found.shape[1] not in (1, 3) or 0 in found.shape:
        raise BadInput(
            f"'images' must be {count} images of one or three channels, but is {_sizes(values.shape)}; give rows x "
            "height x width, with channels before or after."
        )
    if found.dtype == np.uint8:
        return np.ascontiguousarray(found), tuple(notes)
    if found.dtype.kind != "f" or not (found.min() >= 0 and found.max() <= 1):
        raise BadInput(
            f"'images' must be bytes from 0 to 255 or numbers from 0 to 1, but are {values.dtype}{_range(values)}."
        )
    notes.append("Images were given from 0 to 1 and are shown as bytes.")
    return np.ascontiguousarray((found * 255).round().astype(np.uint8)), tuple(notes)


def _range(values: np.ndarray) -> str:
    """From where to where numbers go."""
    return f" from {values.min():.4g} to {values.max():.4g}" if values.dtype.kind in "fiu" else ""


def _column(name: str, values: np.ndarray, count: int, meant: str) -> np.ndarray:
    """(N,) float64."""
    if values.shape != (count,) or values.dtype.kind not in "fiub":
        raise BadInput(
            f"{name[:60]!r} is {_sizes(values.shape)} {values.dtype}, but what is not {', '.join(KNOWN)} must be a "
            f"column of {count} numbers.{meant}"
        )
    found: np.ndarray = values.astype(np.float64)
    if not np.isfinite(found).all():
        raise BadInput(
            f"Column {name[:60]!r} has NaN or infinite values, first in row {np.argmin(np.isfinite(found))}; give a "
            "number for each row."
        )
    return found


def _write(folder: Path, given: UploadedLogits, title: str) -> None:
    """Write the case's folder under another name, then rename it."""
    draft = draft_beside(folder)
    try:
        draft.mkdir(parents=True)
        columns = dict(given.columns)
        if given.images is not None:
            np.save(draft / "pictures.npy", given.images)
            columns = measured(given.images) | columns
        write_arrays(draft / "columns.npz", columns, compress=False)
        write_arrays(draft / "rows.npz", given.rows, compress=False)
        teacher = Side(title=f"teacher of {title}") if "teacher_logits" in given.rows else None
        shape = () if given.images is None else given.images.shape[1:]
        student = Side(title=f"student of {title}")
        about = About(
            classes=given.classes, student=student, teacher=teacher, where="given", shape=shape, notes=given.notes
        )
        write_about(draft, about)
        _place(draft, folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _place(draft: Path, folder: Path) -> None:
    """Give a case its name, unless the same files were opened twice at once and the other was first."""
    try:
        draft.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise


def add_columns(case: Case, content: bytes) -> list[str]:
    """Add the columns of a CSV to a case; their names.

    Raises:
        BadInput: it is refused, and the case stays as it was.
    """
    found = read_columns(content, case.rows.index)
    held = {name: values for name, values in case.part("columns").items() if name not in found}
    if len(held | found) > MOST_COLUMNS:
        raise BadInput(f"The case would have {len(held | found):,} columns, but at most {MOST_COLUMNS:,} are kept.")
    write_arrays(case.folder / "columns.npz", held | found, compress=False)
    return list(found)


def _sizes(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "a single value"
