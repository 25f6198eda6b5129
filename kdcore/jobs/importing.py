"""A record from elsewhere, copied into the home: a folder that `kdlab export` wrote, or a zip of one.

Others wrote it, so it is copied name by name and within bounds before any of it is read: plain files alone, whose names
a record has. Nothing of a record that is refused stays.
"""

from __future__ import annotations

import re
import shutil
import stat
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np
from safetensors import safe_open

from kdcore.atomic import draft_beside
from kdcore.errors import BadInput, gist, shortened
from kdcore.events import Frame
from kdcore.jobs.exchange import Recorded, load
from kdcore.runs.by_hand import carried
from kdcore.runs.record import WITHHELD, whole_arrays
from kdcore.untrusted import check_head, parsing, unzipping

FOLDER = "records"  # below the home
PART = re.compile(r"(frames/)?[A-Za-z0-9_][\w.-]{0,99}\.(json|jsonl|npz|safetensors)", re.ASCII)
MOST_FILES, MOST_BYTES = 2_000, 2 << 30  # a run records a thousand frames at most, and one wherever it was stopped
MOST_LISTED = 4 * MOST_FILES  # in a zip: folders, and what systems put beside each file, are left out
MOST_ARRAYS = 100  # in one file, of which a run writes about twenty
MOST_ARRAYS_BYTES = 512 << 20  # that one file of arrays unpacks to
OLD_S = 3600.0  # age of a draft over which nobody works any more
MOST_NAMES = 1_000  # that an array of names holds
KINDS: dict[str, tuple[str, int | None]] = {  # of arrays whose values count or choose: kind of number, and axes
    "step": ("iu", 0),
    **dict.fromkeys((WITHHELD, "gradient_names"), ("U", 1)),
    **dict.fromkeys(("field_class", "field_share", "field_teacher_share"), ("u", 2)),
    **dict.fromkeys(("teacher_field_class", "teacher_field_share", "cells_teacher", "cells_student"), ("u", 2)),
    **dict.fromkeys(("made_x", "inverse_teacher", "inverse_student", "local_x"), ("u", 4)),
    **dict.fromkeys(("student_logits", "teacher_logits", "made_logits"), ("f", 2)),
    **dict.fromkeys(("probe_index", "probe_labels", "train_labels", "cells_classes", "nearest_real"), ("iu", 1)),
    "made_copied": ("b", 1),
}
CLASSES = ("field_class", "teacher_field_class", "cells_teacher", "cells_student", "cells_classes", "probe_labels",
           "train_labels")  # fmt: skip
MOST_COUNTED = 2**53  # what a double holds exactly
MADE = ("made_x", "made_logits", "made_copied")  # images, answers to each, and which of at least these are copies
REMEDY = "give a folder that `kdlab export` wrote, or a zip of one"
Part = tuple[str, int, Callable[[], IO[bytes]]]  # name, bytes, how to open it


@contextmanager
def taken(source: Path | IO[bytes], home: Path) -> Iterator[tuple[Recorded, Callable[[], Recorded]]]:
    """Read what a record says, and how to put it into its place; without that nothing of it stays.

    Args:
        source: a record's folder, or a zip of one.
        home: below which it is kept.

    Raises:
        BadInput: it is no record, damaged, or too large.
    """
    draft = draft_beside(home / FOLDER / "any")
    _clear(home / FOLDER)
    if isinstance(source, Path):
        _check_plain(source)
    try:
        with parsing("The record cannot be copied", REMEDY):
            _copy(source, draft)
        found = load(draft, str(source) if isinstance(source, Path) else "The file")
        _check_whole(found)
        place = home / FOLDER / found.id
        with ExitStack() as undone:

            def put() -> Recorded:
                undone.callback(shutil.rmtree, place, ignore_errors=True)
                return _placed(found, place)

            yield found, put
            undone.pop_all()  # its run is written down
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _check_plain(source: Path) -> None:
    """Pass a folder or a file that ends, which a pipe or a device may not."""
    try:
        mode = source.stat().st_mode
    except FileNotFoundError:
        raise BadInput(f"There is nothing at {source}; {REMEDY}.") from None
    except (OSError, ValueError) as error:
        raise BadInput(f"{shortened(str(source))} cannot be read ({gist(error)}); {REMEDY}.") from error
    if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
        raise BadInput(f"{source} is neither a folder nor a file; {REMEDY}.")


@contextmanager
def _keeping(home: Path) -> Iterator[None]:
    """Whatever hinders writing is no fault of the record."""
    try:
        yield
    except OSError as error:
        raise BadInput(
            f"The record cannot be kept in {home} ({error.strerror}); free some space there, or set KDLAB_HOME to "
            "another folder."
        ) from error


def _clear(folder: Path) -> None:
    """Remove the drafts that processes left which were killed over them."""
    for draft in folder.glob(".*.tmp"):
        with suppress(FileNotFoundError):  # another import has ended meanwhile
            if draft.stat().st_mtime < time.time() - OLD_S:
                shutil.rmtree(draft, ignore_errors=True)


def _placed(found: Recorded, place: Path) -> Recorded:
    if place.exists():  # of a record that was forgotten
        shutil.rmtree(place)
    found.folder.rename(place)
    return replace(found, folder=place.resolve())


def move_aside(folder: Path, undone: ExitStack) -> Path:
    """Give a run's folder the name of a draft, so that its own is free for another; `undone` gives it back.

    Raises:
        OSError: it cannot be moved.
    """
    draft = draft_beside(folder)
    folder.rename(draft)
    undone.callback(draft.rename, folder)
    return draft


def _copy(source: Path | IO[bytes], draft: Path) -> None:
    with _keeping(draft.parents[1]):
        (draft / "frames").mkdir(parents=True)
    if isinstance(source, Path) and source.is_dir():
        _write(_in_folder(source), draft)
    else:
        with unzipping(source, MOST_LISTED) as archive:
            _write(_in_zip(archive), draft)


def _write(parts: list[Part], draft: Path) -> None:
    size_bytes = sum(size for _, size, _ in parts)
    if len(parts) > MOST_FILES or size_bytes > MOST_BYTES:
        raise BadInput(
            f"The record has {len(parts):,} files of {size_bytes / 2**30:.1f} GB, but at most {MOST_FILES:,} files of "
            f"{MOST_BYTES >> 30} GB are taken; export a run with fewer frames."
        )
    unpacked = 0
    for name, size, opened in parts:
        with opened() as stored, _keeping(draft.parents[1]), (draft / name).open("xb") as out:
            while size > 0 and (chunk := stored.read(min(size, 1 << 20))):
                size -= len(chunk)
                out.write(chunk)
        unpacked += _unpacked(draft / name)
        if unpacked > MOST_BYTES:
            raise BadInput(
                f"The arrays of the record unpack to more than {MOST_BYTES >> 30} GB; export a run with fewer frames."
            )


def whole(folder: Path) -> bool:
    """Whether a record that lies here can be read, file by file."""
    try:
        _check_whole(load(folder))
    except BadInput:
        return False
    return True


def _check_whole(found: Recorded) -> None:
    """Pass a record that has its weights and all frames that its events tell of, each of which can be read."""
    frames = [heard.event.file for heard in found.told if isinstance(heard.event, Frame)]
    for name in ("student.safetensors", *frames):
        if not (found.folder / name).is_file():
            raise BadInput(f"The record lacks {shortened(name)}; {REMEDY}.")
    with parsing("The record tells no count of what was sent by hand", REMEDY):
        carried(found.folder)
    for path in sorted((*found.folder.glob("*.*"), *found.folder.glob("frames/*"))):
        with parsing(f"{path.name} of the record is damaged or cut off", REMEDY):
            if path.suffix == ".npz":
                _check_arrays(path, found.classes)
            elif path.suffix == ".safetensors":
                _check_weights(path)


def _check_weights(path: Path) -> None:
    """Pass weights whose head fits what follows it."""
    check_head(path)
    with safe_open(path, framework="np"):
        pass


def _unpacked(path: Path) -> int:
    """Bytes that a file of arrays unpacks to, as its directory has it; 0 for other files."""
    if path.suffix != ".npz":
        return 0
    with parsing(f"{path.name} of the record is damaged or cut off", REMEDY), unzipping(path, MOST_ARRAYS) as archive:
        return _bytes_of(archive)


def _bytes_of(archive: zipfile.ZipFile) -> int:
    return sum(entry.file_size for entry in archive.infolist())


def _check_arrays(path: Path, classes: int) -> None:
    """Pass a file of arrays that is whole, unpacks to what a run may write, and holds numbers where a run does."""
    with unzipping(path, MOST_ARRAYS) as archive:
        if (size_bytes := _bytes_of(archive)) > MOST_ARRAYS_BYTES:
            raise BadInput(
                f"{path.name} of the record unpacks to {size_bytes / 2**30:.1f} GB, but at most "
                f"{MOST_ARRAYS_BYTES / 2**30:.1f} are taken; {REMEDY}."
            )
        if broken := archive.testzip():  # numpy reads just as much as there should be, and so meets no wrong sum
            raise ValueError(f"the sum of {broken} is wrong")
        found = whole_arrays(archive)
    for name, array in found.items():
        if not _written(name, array, classes):
            raise BadInput(
                f"{path.name} of the record holds {shortened(name)} as {array.dtype} of shape {array.shape}, which no "
                f"run writes; {REMEDY}."
            )
        if array.dtype.kind in "iu" and not _counts(name, array, classes):
            raise BadInput(
                f"{path.name} of the record holds a number in {shortened(name)} that no run of {classes:,} classes "
                f"writes; {REMEDY}."
            )
    made, told, copied = (len(found[name]) if name in found else None for name in MADE)
    if made is not None and (told not in (None, made) or (copied is not None and copied < made)):
        raise BadInput(f"{path.name} of the record tells of more or fewer images than were made; {REMEDY}.")


def _written(name: str, array: np.ndarray, classes: int) -> bool:
    """Whether an array is of the kind and shape that a run writes under its name."""
    kinds, places = KINDS.get(name, ("biuf", None))
    return (
        array.dtype.kind in kinds
        and not (kinds == "u" and array.dtype.itemsize > 2)
        and places in (None, array.ndim)
        and not ("U" in kinds and array.size > MOST_NAMES)
        and not (name.endswith("_logits") and not name.startswith("own_") and array.shape[-1:] != (classes,))
        and not name.startswith("note_")  # these stand in events
    )


def _counts(name: str, array: np.ndarray, classes: int) -> bool:
    """Whether whole numbers are classes, or -1 for none, where they name classes, and else some that count."""
    least, top = (-1, classes - 1) if name in CLASSES else (-MOST_COUNTED, MOST_COUNTED)
    return array.size == 0 or (least <= int(array.min()) and int(array.max()) <= top)


def _in_folder(folder: Path) -> list[Part]:
    found: list[Part] = []
    for path in sorted([*folder.glob("*"), *folder.glob("frames/*")]):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or (folder / "frames").is_symlink():
            raise BadInput(f"{shortened(name)} in the record is a link, which is not followed; {REMEDY}.")
        if path.is_file() and PART.fullmatch(name):
            found.append((name, path.stat().st_size, lambda path=path: path.open("rb")))  # type: ignore[misc]
    return found


def _in_zip(archive: zipfile.ZipFile) -> list[Part]:
    """Return the files beside the only run.json, wherever in the archive that is."""
    entries: list[Any] = [entry for entry in archive.infolist() if not entry.is_dir()]
    roots = [
        entry.filename.removesuffix("run.json") for entry in entries if entry.filename.split("/")[-1] == "run.json"
    ]
    if len(roots) != 1:
        raise BadInput(f"The zip holds {len(roots)} files named run.json, but a record has one; {REMEDY}.")
    named = {entry.filename.removeprefix(roots[0]): entry for entry in entries if entry.filename.startswith(roots[0])}
    return [
        (name, entry.file_size, lambda entry=entry: archive.open(entry))  # type: ignore[misc]
        for name, entry in named.items()
        if PART.fullmatch(name)
    ]
