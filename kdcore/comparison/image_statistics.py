"""Numbers that an image has by itself: brightness, contrast, stroke, slant. Slices are made of them."""

from __future__ import annotations

import numpy as np

from kdcore.probes._numerics import Floats

CHUNK = 2048  # rows at a time


def measured(x: np.ndarray) -> dict[str, Floats]:
    """(N,) columns of pictures (N, K, H, W) uint8; of features (N, F) the features themselves, when they are few.

    brightness  mean of the pixels, from 0 to 1
    contrast    their standard deviation
    stroke      share of the pixels that are brighter than half of the brightest
    slant       degrees by which the mass leans to the right: the axis of its second moments against the vertical
    """
    if x.ndim != 4:
        return {f"x{place}": x[:, place].astype(np.float64) for place in range(min(8, x.shape[1]))}
    parts = [_measured(x[at : at + CHUNK].astype(np.float64).mean(1) / 255) for at in range(0, len(x), CHUNK)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else {}


def _measured(grey: Floats) -> dict[str, Floats]:
    """Return the same of grey pictures (N, H, W) from 0 to 1."""
    brightest = grey.max((1, 2), keepdims=True)
    return {
        "brightness": grey.mean((1, 2)),
        "contrast": grey.std((1, 2)),
        "stroke": (grey > brightest / 2).mean((1, 2)),
        "slant": _slant(grey),
    }


def _slant(grey: Floats) -> Floats:
    """Degrees in (-90, 90]; 0 where there is no mass or no direction.

    The principal axis of an image lies at half the angle of (2 m11, m20 - m02) of its central moments (Hu, Visual
    Pattern Recognition by Moment Invariants, IRE Transactions on Information Theory 8, 1962).
    """
    height, width = grey.shape[1:]
    y, x = np.mgrid[:height, :width].astype(np.float64)
    mass = np.maximum(grey.sum((1, 2)), 1e-12)
    dx = x - ((grey * x).sum((1, 2)) / mass)[:, None, None]
    dy = y - ((grey * y).sum((1, 2)) / mass)[:, None, None]
    across, along = (grey * dx * dx).sum((1, 2)), (grey * dy * dy).sum((1, 2))
    mixed = (grey * dx * dy).sum((1, 2))
    angle = 0.5 * np.arctan2(2 * -mixed, along - across)  # of the axis against the vertical, to the right above
    return np.degrees(np.where(np.abs(mixed) + np.abs(along - across) > 1e-12, angle, 0.0))
