"""Images that somebody brings become rows of the data's shape, and what was done to them is said."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from kdcore.comparison import uploaded_images
from kdcore.comparison.uploaded_images import keep, kept, rows_of
from kdcore.errors import BadInput


def png(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


GREY = np.arange(16, dtype=np.uint8).reshape(4, 4)


def test_an_image_of_the_right_shape_is_taken_as_it_is() -> None:
    rows, notes = rows_of({"a.png": png(GREY)}, (1, 4, 4))
    assert np.array_equal(rows, GREY[None, None])
    assert notes == ()
    colour = np.stack([GREY, GREY + 1, GREY + 2], axis=-1)
    rows, notes = rows_of({"a.png": png(colour)}, (3, 4, 4))
    assert np.array_equal(rows[0], colour.transpose(2, 0, 1))
    assert notes == ()


def test_what_was_done_is_said() -> None:
    flat = np.full((6, 8, 3), 100, np.uint8)
    rows, notes = rows_of({"a.png": png(flat), "b.jpg": png(flat, "JPEG"), "c.png": png(GREY)}, (1, 4, 4))
    assert rows.shape == (3, 1, 4, 4)
    assert (rows[0] == 100).all()
    assert notes == (
        "2 of 3 images were resized to 4x4.",
        "2 of 3 images were turned grey.",
    )
    _, notes = rows_of({"c.png": png(GREY)}, (3, 4, 4))
    assert notes == ("1 of 1 images were given three equal channels.",)


def test_sixteen_bits_are_read_over_their_whole_range() -> None:
    rows, _ = rows_of({"a.png": png(GREY.astype(np.uint16) * 4 * 257)}, (1, 4, 4))
    assert np.array_equal(rows, GREY[None, None] * 4)


def test_an_animation_is_refused() -> None:
    file = io.BytesIO()
    first, second = (Image.new("L", (4, 4), shade) for shade in (0, 90))
    first.save(file, "PNG", save_all=True, append_images=[second])
    with pytest.raises(BadInput, match=r"^'a\.png' is animated: it shows 2 images"):
        rows_of({"a.png": file.getvalue()}, (1, 4, 4))


def bomb(side: int) -> bytes:
    """A PNG that says it is a square of many pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"a.gif": b"GIF89a" + bytes(20)}, r"^'a.gif' is no PNG or JPEG image"),
        ({"a.png": png(GREY)[:40]}, r"^'a.png' is no PNG or JPEG image"),
        ({"a.png": bomb(5000)}, r"has 5000x5000 pixels, but at most 20,000,000"),
        ({"a.png": bomb(60_000)}, r"^'a.png' is no PNG|has 60000x60000 pixels"),
        ({}, r"^Up to 200 images .* but got 0"),
        ({str(place): b"" for place in range(201)}, r"but got 201"),
    ],
)
def test_what_is_no_image_or_too_large_is_refused(files: dict[str, bytes], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        rows_of(files, (1, 4, 4))


def test_points_have_no_images() -> None:
    with pytest.raises(BadInput, match="These data are points"):
        rows_of({"a.png": png(GREY)}, (2,))


@pytest.mark.usefixtures("home")
def test_rows_are_found_again_by_their_name() -> None:
    rows = GREY[None, None]
    assert keep(rows) == keep(rows.copy())
    assert np.array_equal(kept(keep(rows)), rows)
    assert uploaded_images.keep(rows + 1) != keep(rows)
    with pytest.raises(BadInput, match="no longer on this machine"):
        kept("0123456789abcdef")
