"""Pixels as a PNG in a data URL, for a gallery of thumbnails."""

import struct
import zlib
from base64 import b64encode

import numpy as np

LARGEST = 64  # pixels along a side; a larger picture is thinned


def png_url(pixels: np.ndarray) -> str:
    """The picture of (K, H, W) uint8: colour when K is 3 or more, else the first channel in grey."""
    thin = -(-max(pixels.shape[1:]) // LARGEST)
    image = pixels[: 3 if len(pixels) >= 3 else 1, ::thin, ::thin].transpose(1, 2, 0)
    return "data:image/png;base64," + b64encode(_png(image)).decode()


def _png(image: np.ndarray) -> bytes:
    """PNG of (H, W, 1 or 3) uint8, every row unfiltered (Portable Network Graphics, third edition, W3C 2025)."""
    height, width, channels = image.shape
    head = struct.pack(">IIBBBBB", width, height, 8, 2 if channels == 3 else 0, 0, 0, 0)
    rows = np.pad(image.reshape(height, -1), ((0, 0), (1, 0))).tobytes()
    chunks = _chunk(b"IHDR", head) + _chunk(b"IDAT", zlib.compress(rows)) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
