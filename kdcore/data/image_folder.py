"""Your own images: a folder that holds one folder per class.

A fifth of each class is set apart to test and, unless told otherwise, another fifth to validate.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from kdcore.contracts import Recipe, Report
from kdcore.data._splits import Prepared, Raw, require, split_off, stream
from kdcore.errors import BadInput, printable
from kdcore.untrusted import parsing

TYPES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".bmp": "BMP", ".webp": "WEBP", ".gif": "GIF"}
ALLOWED = ", ".join(TYPES)
TEST_SHARE = 0.2
LEAST = 3  # images of a class, one for each split


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
        """The square after resizing, and as many classes as there are folders; 2 while no path is given."""
        return (1 if self.grey else 3, self.side, self.side), len(self._folders()) if self.path else 2

    def ready(self) -> None:
        """The path is given and leads to class folders."""
        self._folders()

    def raw(self, folder: Path, report: Report) -> Raw:
        """Every image, a fifth of each class apart to test."""
        folders = self._folders()
        names = tuple(path.name for path in folders)
        listed = [(file, label) for label, path in enumerate(folders) for file in _images(path)]
        y = np.array([label for _, label in listed], dtype=np.int64)
        require(y, names, LEAST, "an image folder")
        x = self._read([file for file, _ in listed], report)
        rest, test = split_off(y, TEST_SHARE, stream(self.seed, "test images"))
        return Raw(x[rest], y[rest], x[test], y[test], names)

    def _folders(self) -> list[Path]:
        """The folder of each class, in alphabetical order.

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


def _images(folder: Path) -> list[Path]:
    """The images of one class.

    Raises:
        BadInput: something else lies among them.
    """
    inside = _visible(folder)
    stray = next((path for path in inside if path.is_dir() or path.suffix.lower() not in TYPES), None)
    if stray:
        raise BadInput(
            f"{stray} is {'a folder' if stray.is_dir() else 'not an image'}; a class folder holds only files of the "
            f"types {ALLOWED}, so move it away or convert it."
        )
    return inside


def _pixels(file: Path, side: int, grey: bool) -> np.ndarray:
    """One image (K, side, side) uint8, upright and resized to the square.

    Raises:
        BadInput: the file cannot be read as an image.
    """
    from PIL import Image, ImageOps

    with (
        parsing(
            f"{file} cannot be read as an image", f"replace it by a whole file of the types {ALLOWED}, or move it away"
        ),
        Image.open(file, formats=sorted(set(TYPES.values()))) as image,
    ):
        upright = ImageOps.exif_transpose(image).convert("L" if grey else "RGB")
        small = upright.resize((side, side), Image.Resampling.BILINEAR)
    pixels = np.asarray(small)
    return pixels[None] if grey else pixels.transpose(2, 0, 1)
