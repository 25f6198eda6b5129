"""Images that a person brings, PNG or JPEG, made into rows of the shape that a data set has."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from kdcore.atomic import replacing
from kdcore.comparison.case import FOLDER
from kdcore.errors import BadInput
from kdcore.files.image_files import still
from kdcore.spec.catalogue import home
from kdcore.untrusted import parsing

MOST = 200  # images at once
MOST_PIXELS = 20_000_000  # of one image, looked up before it is unpacked
LIMIT_BYTES = 100 << 20
MODES = {1: "L", 3: "RGB"}


def rows_of(files: Mapping[str, bytes], shape: Sequence[int]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Images (N, K, H, W) uint8 of files by name, and sentences on what was done to them.

    Raises:
        BadInput: one of them is no image, or too large; or the data are no images.
    """
    if len(shape) != 3 or shape[0] not in MODES:
        raise BadInput("These data are points, so images cannot be asked about; choose data of images.")
    size_bytes = sum(map(len, files.values()))
    if not 1 <= len(files) <= MOST or size_bytes > LIMIT_BYTES:
        raise BadInput(
            f"Up to {MOST} images of {LIMIT_BYTES >> 20} MB in all are taken, but got {len(files)} of "
            f"{size_bytes >> 20} MB; give fewer."
        )
    done: dict[str, int] = {}
    rows = [_row(name, content, shape, done) for name, content in files.items()]
    return np.stack(rows), tuple(f"{count} of {len(files)} images {said}." for said, count in done.items())


def _row(name: str, content: bytes, shape: Sequence[int], done: dict[str, int]) -> np.ndarray:
    """One image (K, H, W) uint8; what was done to it is counted in `done`."""
    channels, height, width = shape
    with (
        parsing(f"{name[:60]!r} is no PNG or JPEG image that can be read", "give another"),
        _identified(name),
        Image.open(io.BytesIO(content), formats=("PNG", "JPEG")) as image,
    ):
        if image.width * image.height > MOST_PIXELS:
            raise BadInput(
                f"Image {name[:60]!r} has {image.width}x{image.height} pixels, but at most {MOST_PIXELS:,} are "
                "unpacked; give a smaller one."
            )
        _note(done, image, channels, (width, height))
        fitted = (
            still(image, repr(name[:60])).convert(MODES[channels]).resize((width, height), Image.Resampling.BILINEAR)
        )
    return np.asarray(fitted, dtype=np.uint8).reshape(height, width, channels).transpose(2, 0, 1)


@contextmanager
def _identified(name: str) -> Iterator[None]:
    """Say what is no image in a sentence of ours: Pillow's names an object of this process."""
    try:
        yield
    except UnidentifiedImageError as error:
        raise BadInput(f"{name[:60]!r} is no PNG or JPEG image that can be read; give another.") from error


def _note(done: dict[str, int], image: Image.Image, channels: int, size: tuple[int, int]) -> None:
    grey = image.mode in ("1", "L", "I", "I;16", "F", "LA")
    said = []
    if image.size != size:
        said.append(f"resized to {size[0]}x{size[1]}")
    if (channels == 1) != grey:
        said.append("turned grey" if channels == 1 else "given three equal channels")
    for one in said:
        done[f"were {one}"] = done.get(f"were {one}", 0) + 1


def keep(rows: np.ndarray) -> str:
    """Keep rows (N, K, H, W) under the digest of their content; the name under which `kept` finds them."""
    name = hashlib.sha256(str(rows.shape).encode() + rows.tobytes()).hexdigest()[:16]
    with replacing(_path(name)) as draft, draft.open("wb") as file:  # given a path, numpy adds an ending
        np.save(file, rows)
    return name


def kept(name: str) -> np.ndarray:
    """Rows by their name.

    Raises:
        BadInput: they are not there.
    """
    try:
        found: np.ndarray = np.load(_path(name), allow_pickle=False)
        return found
    except (OSError, ValueError) as error:
        raise BadInput("The images of this comparison are no longer on this machine; upload them again.") from error


def _path(name: str) -> Path:
    return home() / FOLDER / f"given-{name}.npy"
