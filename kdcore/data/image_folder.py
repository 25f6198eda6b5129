"""Your own images: a folder that holds one folder per class.

A fifth of each class is held out for testing and, by default, another fifth for validation. Images of 16 bits are
read over their whole range.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field

from kdcore.contracts.data import Recipe, Report
from kdcore.data._splits import Prepared, Raw, require, split_off, stream
from kdcore.errors import BadInput, printable
from kdcore.untrusted import parsing

if TYPE_CHECKING:
    from PIL import Image

TYPES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".bmp": "BMP", ".webp": "WEBP", ".gif": "GIF"}
ALLOWED = ", ".join(TYPES)
TEST_SHARE = 0.2
LEAST = 3  # images of a class, one for each split
SPLITS = ("train", "training", "val", "valid", "validation", "dev", "test", "testing")
HEADS = 5_000  # files that are opened before a run, in a second; the others are when it begins
NAMED = 3  # files in one sentence


class ImageFolder(Prepared):
    """Images resized to a square; a class is named after its folder, and names starting with a dot are skipped."""

    title: ClassVar[str] = "Image folder"
    family: ClassVar[Literal["2-D toy", "image"]] = "image"
    recipe: ClassVar[Recipe] = Recipe(
        teacher=("cnn", {"width": 32}),
        student=("cnn", {"width": 8}),
        teacher_schedule={"steps": 1000, "batch": 32, "lr": 0.02},
        schedule={"steps": 1000, "batch": 32, "lr": 0.02},
    )
    path: str = Field("", description="Folder on this machine that holds one folder of images per class.")
    side: Literal[28, 32, 64] = Field(32, description="Pixels to a side after resizing.")
    grey: bool = Field(False, description="One grey channel in place of red, green and blue.")
    validation: float = Field(
        0.25, ge=0.01, le=0.5, description="Share of the training images held out to validate, after the test images."
    )

    def signature(self) -> tuple[tuple[int, ...], int]:
        """Return the square after resizing, and as many classes as there are folders; 2 while no path is given."""
        return (1 if self.grey else 3, self.side, self.side), len(self._folders()) if self.path else 2

    def ready(self) -> None:
        """Check that the path leads to class folders with images enough, and each file begins as an image does."""
        _examine(tuple((folder, folder.stat().st_mtime_ns) for folder in self._folders()))

    def raw(self, folder: Path, report: Report) -> Raw:
        """Every image, a fifth of each class apart to test."""
        folders = self._folders()
        files, y = _listed(folders)
        x = self._read(files, report)
        rest, test = split_off(y, TEST_SHARE, stream(self.seed, "test images"))
        return Raw(x[rest], y[rest], x[test], y[test], tuple(path.name for path in folders))

    def _folders(self) -> list[Path]:
        """Return the folder of each class, in alphabetical order.

        Raises:
            BadInput: there are fewer than two, or something else lies beside them.
        """
        root = Path(self.path).expanduser()
        if not self.path or not root.is_dir():
            raise BadInput(
                "An image folder needs the path of a folder on this machine that holds one folder of images per "
                f"class, but got {self.path!r}; give the path of one that exists."
            )
        inside = _visible(root)
        _check_splits(root, [path for path in inside if path.is_dir()])
        stray = next((path for path in inside if not path.is_dir()), None)
        if stray:
            raise BadInput(
                f"{stray} is a file beside the class folders; an image folder holds one folder of images per class "
                "and nothing else, so move the file away or into its class."
            )
        odd = next((path for path in inside if not path.name.isprintable()), None)
        if odd:
            raise BadInput(f"The class folder {odd.name!r} has a name that is not UTF-8, or not printable; rename it.")
        if len(inside) < 2:
            raise BadInput(f"{root} needs a folder for each of at least two classes, but has {len(inside)}; add some.")
        return inside

    def _read(self, files: list[Path], report: Report) -> np.ndarray:
        """Images (N, K, side, side) uint8."""
        x = np.empty((len(files), 1 if self.grey else 3, self.side, self.side), dtype=np.uint8)
        for row, file in enumerate(files):
            x[row] = _pixels(file, self.side, self.grey)
            report(f"reading {file.parent.name}/{printable(file.name)}", (row + 1) / len(files))
        return x


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


@lru_cache(64)
def _examine(stamped: tuple[tuple[Path, int], ...]) -> None:
    """Check that each file begins as an image does; a form asks at every turn, and what was sound stays so until a
    folder changes.

    Raises:
        BadInput: names the first files that do not.
    """
    files, _ = _listed([folder for folder, _ in stamped])
    broken = [(file, error) for file in files[:HEADS] if (error := _misread(file))]
    if len(broken) > 1:
        raise BadInput(
            f"{_few([file for file, _ in broken])} are animated or cannot be read as images; replace them by whole "
            f"still images of the types {ALLOWED}, or move them away."
        )
    for _, error in broken:
        raise error


def _listed(folders: Sequence[Path]) -> tuple[list[Path], np.ndarray]:
    """Return the files of all classes, and the class (N,) of each.

    Raises:
        BadInput: something else lies among them, or a class has too few.
    """
    listed = [(file, label) for label, path in enumerate(folders) for file in _visible(path)]
    files, y = [file for file, _ in listed], np.array([label for _, label in listed], dtype=np.int64)
    _check_types(files)
    require(y, tuple(path.name for path in folders), LEAST, "an image folder")
    return files, y


def _check_splits(root: Path, folders: Sequence[Path]) -> None:
    """Check that the folders are not splits of a data set.

    Raises:
        BadInput: all are named as splits are, and there are several or they hold folders.
    """
    splits = all(path.name.lower() in SPLITS for path in folders)
    if not folders or not splits or (len(folders) == 1 and not any(path.is_dir() for path in _visible(folders[0]))):
        return
    names = ", ".join(path.name for path in folders)
    best = next((path for path in folders if path.name.lower().startswith("train")), folders[0])
    raise BadInput(
        f"The folders in {root} are splits ({names}), not classes; give one of them, such as {best}, as rows are set "
        "apart to validate and to test from what it holds, or move the classes of all into one folder."
    )


def _check_types(files: Sequence[Path]) -> None:
    """Check that only images lie in the class folders.

    Raises:
        BadInput: others do.
    """
    strays = [path for path in files if path.is_dir() or path.suffix.lower() not in TYPES]
    if len(strays) == 1:
        kind, what = "a folder" if strays[0].is_dir() else "not an image", "it"
    else:
        kind, what = "folders or no images", "them"
    if strays:
        raise BadInput(
            f"{_few(strays)} {'is' if what == 'it' else 'are'} {kind}; a class folder holds only files of the types "
            f"{ALLOWED}, so move {what} away or convert {what}."
        )


def _few(files: Sequence[Path]) -> str:
    """Return the first files by their path, and how many there are besides."""
    more = [f"{len(files) - NAMED:,} more"] if len(files) > NAMED else []
    names = [*map(str, files[:NAMED]), *more]
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _misread(file: Path) -> BadInput | None:
    """Return what is wrong with the head of a file."""
    from kdcore.files.image_files import check_still

    try:
        with _opened(file) as image:
            check_still(image, str(file))
    except BadInput as error:
        return error
    return None


def _pixels(file: Path, side: int, grey: bool) -> np.ndarray:
    """One image (K, side, side) uint8, upright and resized to the square.

    Raises:
        BadInput: the file cannot be read as an image, or is animated.
    """
    from PIL import Image

    from kdcore.files.image_files import still

    with _opened(file) as image:
        small = still(image, str(file)).convert("L" if grey else "RGB").resize((side, side), Image.Resampling.BILINEAR)
    pixels = np.asarray(small)
    return pixels[None] if grey else pixels.transpose(2, 0, 1)


@contextmanager
def _opened(file: Path) -> Iterator[Image.Image]:
    """Open an image file; its pixels are read when they are asked for.

    Raises:
        BadInput: it cannot be read as an image, be it here or within.
    """
    from PIL import Image

    with (
        parsing(
            f"{file} cannot be read as an image", f"replace it by a whole file of the types {ALLOWED}, or move it away"
        ),
        Image.open(file, formats=sorted(set(TYPES.values()))) as image,
    ):
        yield image
