"""Skeletons of the ten digits, several ways of writing each, and the pen that draws them.

A glyph is strokes; a stroke is control points in a unit box, x to the right and y downwards, joined by a cardinal
spline whose tangents are scaled per image: 0 gives corners, 0.5 gives round curves.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

Stroke = np.ndarray  # (P, 2) control points
Glyph = tuple[Stroke, ...]
FINENESS = 3  # segments between two control points
FREE = 0.12  # a stroke's end this far from every other stroke is free
MARGIN = 0.1  # a free end this near to the top or bottom may carry a serif


def _line(*corners: tuple[float, float]) -> Stroke:
    """Return a path through `corners`, each leg halved so that it can bend."""
    points = np.array(corners)
    middle = (points[:-1] + points[1:]) / 2
    return np.concatenate([np.stack([points[:-1], middle], axis=1).reshape(-1, 2), points[-1:]])


def _curve(*points: tuple[float, float]) -> Stroke:
    return np.array(points)


def _arc(x: float, y: float, width: float, height: float, start: float, stop: float, corner: float = 1.0) -> Stroke:
    """Return an elliptic arc by centre, half axes and angles in degrees (0 right, 90 down); corner < 1 squares it."""
    count = max(3, round(abs(stop - start) / 45) + 1)
    angle = np.radians(np.linspace(start, stop, count))
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack(
        [x + width * np.sign(cos) * np.abs(cos) ** corner, y + height * np.sign(sin) * np.abs(sin) ** corner], axis=1
    )


def _ring(x: float, y: float, width: float, height: float, corner: float = 1.0) -> Stroke:
    """Return a closed ellipse; its ends overlap so that no gap shows."""
    return _arc(x, y, width, height, -90, 315, corner)


def _joined(*strokes: Stroke) -> Stroke:
    return np.concatenate(strokes)


def _turned(glyph: Glyph) -> Glyph:
    """Return the glyph upside down, which makes a 9 of a 6."""
    return tuple(1 - stroke for stroke in glyph)


_BOWL_6 = _arc(0.5, 0.7, 0.45, 0.3, 180, -180)
_SIX = (
    (_joined(_curve((0.85, 0.03), (0.42, 0.12), (0.14, 0.4)), _BOWL_6),),
    (_joined(_curve((0.7, 0.0), (0.35, 0.3)), _BOWL_6),),
    (_line((0.72, 0.0), (0.12, 0.58)), _ring(0.5, 0.7, 0.45, 0.3)),
)
_EIGHT_TURN = np.linspace(0.1, 2 * np.pi + 0.1, 17)

GLYPHS: tuple[tuple[Glyph, ...], ...] = (
    (
        (_ring(0.5, 0.5, 0.48, 0.5),),
        (_ring(0.5, 0.5, 0.46, 0.5, 0.6),),
        (_ring(0.5, 0.5, 0.34, 0.5),),
    ),
    (
        (_line((0.2, 0.2), (0.52, 0.0)), _line((0.52, 0.0), (0.52, 1.0))),
        (_line((0.5, 0.0), (0.5, 1.0)),),
        (_line((0.2, 0.2), (0.5, 0.0)), _line((0.5, 0.0), (0.5, 1.0)), _line((0.15, 1.0), (0.85, 1.0))),
    ),
    (
        (
            _joined(_arc(0.48, 0.28, 0.44, 0.28, 190, 360), _curve((0.72, 0.6), (0.06, 1.0))),
            _line((0.06, 1.0), (0.95, 1.0)),
        ),
        (_curve((0.06, 0.22), (0.48, 0.0), (0.9, 0.26), (0.6, 0.65), (0.08, 0.97), (0.42, 0.92), (0.96, 1.0)),),
        (_arc(0.48, 0.26, 0.44, 0.26, 200, 380), _line((0.9, 0.36), (0.06, 1.0)), _line((0.06, 1.0), (0.94, 1.0))),
    ),
    (
        (_arc(0.46, 0.25, 0.42, 0.25, -155, 90), _arc(0.44, 0.75, 0.5, 0.25, -90, 155)),
        (
            _line((0.08, 0.0), (0.9, 0.0)),
            _line((0.9, 0.0), (0.42, 0.42)),
            _arc(0.42, 0.71, 0.5, 0.29, -90, 150),
        ),
        (
            _arc(0.46, 0.25, 0.42, 0.25, -155, 90),
            _arc(0.44, 0.75, 0.5, 0.25, -90, 155),
            _line((0.25, 0.5), (0.46, 0.5)),
        ),
    ),
    (
        (_line((0.68, 0.0), (0.0, 0.68)), _line((0.0, 0.68), (1.0, 0.68)), _line((0.7, 0.0), (0.7, 1.0))),
        (_line((0.14, 0.0), (0.06, 0.56)), _line((0.06, 0.56), (0.95, 0.56)), _line((0.74, 0.12), (0.7, 1.0))),
        (_line((0.45, 0.0), (0.02, 0.66)), _line((0.02, 0.66), (0.98, 0.66)), _line((0.7, 0.36), (0.7, 1.0))),
    ),
    (
        (
            _line((0.86, 0.0), (0.18, 0.0)),
            _line((0.18, 0.0), (0.1, 0.46)),
            _arc(0.44, 0.68, 0.48, 0.32, -140, 145),
        ),
        (_line((0.9, 0.0), (0.16, 0.0)), _line((0.16, 0.0), (0.12, 0.42)), _arc(0.12, 0.71, 0.78, 0.29, -90, 90)),
        (_curve((0.88, 0.02), (0.28, 0.02), (0.16, 0.42), (0.6, 0.38), (0.9, 0.66), (0.62, 0.97), (0.08, 0.94)),),
    ),
    _SIX,
    (
        (_line((0.05, 0.0), (0.95, 0.0)), _line((0.95, 0.0), (0.36, 1.0))),
        (_line((0.05, 0.0), (0.95, 0.0)), _line((0.95, 0.0), (0.36, 1.0)), _line((0.3, 0.5), (0.86, 0.5))),
        (_line((0.05, 0.0), (0.95, 0.0)), _curve((0.95, 0.0), (0.6, 0.36), (0.46, 1.0))),
    ),
    (
        (_ring(0.5, 0.25, 0.38, 0.25), _ring(0.5, 0.75, 0.48, 0.26)),
        (_ring(0.5, 0.25, 0.4, 0.25, 0.75), _ring(0.5, 0.75, 0.44, 0.25, 0.75)),
        (np.stack([0.5 + 0.44 * np.sin(2 * _EIGHT_TURN), 0.5 - 0.5 * np.cos(_EIGHT_TURN)], axis=1),),
    ),
    (
        *(_turned(glyph) for glyph in _SIX[:2]),
        (_ring(0.48, 0.3, 0.44, 0.3), _line((0.92, 0.25), (0.88, 1.0))),
    ),
)


class Segments(NamedTuple):
    """Straight pieces of n images' strokes."""

    start: np.ndarray  # (n, S, 2)
    stop: np.ndarray  # (n, S, 2)


def segments(glyph: Glyph, control: list[np.ndarray], tangent: np.ndarray, serif: np.ndarray) -> Segments:
    """Return the pieces of n images of one glyph.

    Args:
        glyph: the skeleton, which tells whose ends are free.
        control: per stroke the moved control points (n, P, 2).
        tangent: (n,) scale of the spline's tangents.
        serif: (n,) length of the bars across free ends; 0 draws none.
    """
    paths = [_spline(points, tangent) for points in control]
    bars = [_bar(path, end, serif) for path, stroke, others in _apart(glyph, paths) for end in _free(stroke, others)]
    start = [path[:, :-1] for path in paths] + [bar[:, :1] for bar in bars]
    stop = [path[:, 1:] for path in paths] + [bar[:, 1:] for bar in bars]
    return Segments(np.concatenate(start, axis=1), np.concatenate(stop, axis=1))


def ink(pieces: Segments, radius: np.ndarray, side: int) -> np.ndarray:
    """How far (n, side, side) each pixel's centre lies inside the ink, in pixels; negative outside.

    Args:
        pieces: segments in pixels.
        radius: (n, S) half the pen's width on each segment, in pixels.
        side: pixels to a side.
    """
    pixel = np.arange(side, dtype=np.float32) + np.float32(0.5)
    x, y = pixel[None, None, :], pixel[None, :, None]
    depth = np.full((len(radius), side, side), -np.inf, dtype=np.float32)
    start = pieces.start.astype(np.float32)[..., None, None]  # (n, S, 2, 1, 1)
    along = (pieces.stop - pieces.start).astype(np.float32)[..., None, None]
    square = np.maximum((along**2).sum(2), np.float32(1e-9))
    reach = radius.astype(np.float32)[..., None, None]
    for s in range(start.shape[1]):
        dx, dy = x - start[:, s, 0], y - start[:, s, 1]
        share = ((dx * along[:, s, 0] + dy * along[:, s, 1]) / square[:, s]).clip(0, 1)
        gap = np.hypot(dx - share * along[:, s, 0], dy - share * along[:, s, 1])
        np.maximum(depth, reach[:, s] - gap, out=depth)
    return depth


def _spline(points: np.ndarray, tangent: np.ndarray) -> np.ndarray:
    """Cardinal splines (n, Q, 2) through control points (n, P, 2) with tangents scaled by (n,)."""
    slope = tangent[:, None, None] * np.concatenate(
        [
            2 * (points[:, 1:2] - points[:, :1]),
            points[:, 2:] - points[:, :-2],
            2 * (points[:, -1:] - points[:, -2:-1]),
        ],
        axis=1,
    )
    t = (np.arange(FINENESS) / FINENESS)[:, None]
    before, after = points[:, :-1, None], points[:, 1:, None]
    path = (
        (2 * t**3 - 3 * t**2 + 1) * before
        + (t**3 - 2 * t**2 + t) * slope[:, :-1, None]
        + (3 * t**2 - 2 * t**3) * after
        + (t**3 - t**2) * slope[:, 1:, None]
    )
    return np.concatenate([path.reshape(len(points), -1, 2), points[:, -1:]], axis=1)


def _apart(glyph: Glyph, paths: list[np.ndarray]) -> list[tuple[np.ndarray, Stroke, np.ndarray]]:
    """Per stroke: its path, itself, and the control points of all other strokes (M, 2)."""
    nothing = np.empty((0, 2))
    others = [np.concatenate([nothing, *(glyph[:k] + glyph[k + 1 :])]) for k in range(len(glyph))]
    return list(zip(paths, glyph, others, strict=True))


def _free(stroke: Stroke, others: np.ndarray) -> list[int]:
    """Which ends of the stroke (0 first, -1 last) lie at the top or bottom and touch neither it nor another one."""

    def free(end: int) -> bool:
        near = np.concatenate([others, stroke[:-3] if end else stroke[3:]])
        touches = np.linalg.norm(near - stroke[end], axis=1).min(initial=1.0) <= FREE
        return bool(abs(stroke[end, 1] - 0.5) >= 0.5 - MARGIN and not touches)

    return [end for end in (0, -1) if free(end)]


def _bar(path: np.ndarray, end: int, length: np.ndarray) -> np.ndarray:
    """Bars (n, 2, 2) of `length` (n,) across one end of paths (n, Q, 2)."""
    tip, inside = path[:, end], path[:, 1 if end == 0 else -2]
    along = (tip - inside) / np.maximum(np.linalg.norm(tip - inside, axis=1, keepdims=True), 1e-9)
    across = np.stack([-along[:, 1], along[:, 0]], axis=1) * (length[:, None] / 2)
    return np.stack([tip - across, tip + across], axis=1)
