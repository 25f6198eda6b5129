"""Pixels as a PNG in a data URL, for a gallery of thumbnails."""

import struct
import zlib
from base64 import b64encode

import numpy as np

LARGEST = 64  # pixels along a side; a larger picture is thinned
THICKEST = 175  # of 255, so that what is veiled stays visible
KINDS = {1: 0, 3: 2, 4: 6}  # colour type by channels


def png_url(pixels: np.ndarray, enlarge: bool = False) -> str:
    """Return the picture of (K, H, W) uint8: colour when K is 3 or more, else the first channel in grey.

    With `enlarge` small pixels become squares of several, for places where the browser would blur them.
    """
    side = max(pixels.shape[1:])
    thin, thick = -(-side // LARGEST), max(1, LARGEST // side) if enlarge else 1
    image = pixels[: 3 if len(pixels) >= 3 else 1, ::thin, ::thin].transpose(1, 2, 0)
    return _url(image.repeat(thick, 0).repeat(thick, 1))


def veil_url(strength: np.ndarray, colour: str) -> str:
    """Return a veil of one hex colour, as thick as (H, W) says from 0 to 1; the browser smooths it."""
    tint = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)], dtype=np.uint8)
    image = np.empty((*strength.shape, 4), dtype=np.uint8)
    image[..., :3], image[..., 3] = tint, strength * THICKEST
    return _url(image)


def _url(image: np.ndarray) -> str:
    return "data:image/png;base64," + b64encode(_png(image)).decode()


def _png(image: np.ndarray) -> bytes:
    """PNG of (H, W, 1, 3 or 4) uint8, every row unfiltered (Portable Network Graphics, third edition, W3C 2025)."""
    height, width, channels = image.shape
    head = struct.pack(">IIBBBBB", width, height, 8, KINDS[channels], 0, 0, 0)
    rows = np.pad(image.reshape(height, -1), ((0, 0), (1, 0))).tobytes()
    chunks = _chunk(b"IHDR", head) + _chunk(b"IDAT", zlib.compress(rows)) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
