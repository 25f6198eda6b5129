"""Digits rendered in a different font for every image: a second domain beside handwriting, of any size.

Each image has its own glyph shape, width, slant, turn, thickness, contrast between thick and thin,
roundness, serifs, bends and grain. No font file is read.

Source: our own.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import Field

from kdcore.contracts.data import Recipe, Report
from kdcore.data._glyphs import GLYPHS, Glyph, Segments, ink, segments
from kdcore.data._splits import Prepared, Raw, stream

CHUNK = 64  # images drawn at once; their pixels fit a processor's cache
TEST_SHARE = 0.25


class Rendered(Prepared):
    """White digits (1, 28, 28) or (1, 32, 32) on black."""

    title: ClassVar[str] = "Rendered digits"
    family: ClassVar[Literal["2-D toy", "image"]] = "image"
    recipe: ClassVar[Recipe] = Recipe(
        teacher=("lenet", {"variant": "full"}),
        student=("lenet", {"variant": "half"}),
        teacher_schedule={"steps": 800, "batch": 64, "lr": 0.02},
        schedule={"steps": 800, "batch": 64, "lr": 0.02},
    )
    samples: int = Field(
        4000, ge=100, le=60_000, description="Images to train and validate on, a quarter more to test."
    )
    side: Literal[28, 32] = Field(28, description="Pixels to a side.")
    style: float = Field(0.7, ge=0.0, le=1.0, description="How much fonts differ: 0 is one plain font.")

    def signature(self) -> tuple[tuple[int, ...], int]:
        """One grey channel of side x side, ten classes."""
        return (1, self.side, self.side), 10

    def raw(self, folder: Path, report: Report) -> Raw:
        """Images for training and validation, and a quarter as many others to test."""
        test = max(10, round(TEST_SHARE * self.samples))
        shown = self._drawn(self.samples, "images", report)
        return Raw(*shown, *self._drawn(test, "test images", report), tuple("0123456789"))

    def _drawn(self, count: int, purpose: str, report: Report) -> tuple[np.ndarray, np.ndarray]:
        """Images (count, 1, side, side) uint8 and balanced digits (count,)."""
        rng = stream(self.seed, purpose)
        y = rng.permutation(np.arange(count) % 10)
        plain = rng.random(count) >= self.style
        way = np.where(plain, 0, rng.integers(0, 3, count))
        x = np.empty((count, 1, self.side, self.side), dtype=np.uint8)
        done = 0
        for digit in range(10):
            for kind, glyph in enumerate(GLYPHS[digit]):
                rows = np.flatnonzero((y == digit) & (way == kind))
                for start in range(0, len(rows), CHUNK):
                    part = rows[start : start + CHUNK]
                    x[part, 0] = _render(glyph, _Pen.draw(len(part), self.style, rng), self.side, rng)
                done += len(rows)
                report(f"drawing {purpose}", done / count)
        return x, y


class _Pen(NamedTuple):
    """One font per image: every field (n,), or (n, ...) where stated."""

    height: np.ndarray  # share of the side
    width: np.ndarray  # share of the height
    slant: np.ndarray  # shift of the top against the bottom, share of the height
    turn: np.ndarray  # radians
    shift: np.ndarray  # (n, 2) share of the side
    radius: np.ndarray  # half the line's width, share of the side
    contrast: np.ndarray  # share by which the line swells and thins with its direction
    nib: np.ndarray  # direction in which the line is thickest, radians
    tangent: np.ndarray  # roundness of the splines
    serif: np.ndarray  # length, share of the height
    bend: np.ndarray  # (n, 2, 2, 3) two waves per axis: amplitude, frequency along x and y in radians
    phase: np.ndarray  # (n, 2, 2) radians
    soft: np.ndarray  # pixels from full ink to none
    level: np.ndarray  # grey of full ink, 0 to 1
    grain: np.ndarray  # deviation of the noise on every pixel

    @classmethod
    def draw(cls, n: int, style: float, rng: np.random.Generator) -> _Pen:
        """n fonts; `style` scales how far each property strays from its plain value."""

        def around(plain: float, low: float, high: float, *shape: int) -> np.ndarray:
            return plain + style * rng.uniform(low, high, (n, *shape))

        frequency = rng.uniform(-5, 5, (n, 2, 2, 2))
        amplitude = style * rng.uniform(0, 0.045, (n, 2, 2, 1))
        return cls(
            height=around(0.68, -0.1, 0.1),
            width=around(0.62, -0.16, 0.18),
            slant=around(0.0, -0.12, 0.32),
            turn=around(0.0, -0.16, 0.16),
            shift=around(0.0, -0.06, 0.06, 2),
            radius=around(0.05, -0.026, 0.03),
            contrast=around(0.0, 0.0, 0.5),
            nib=rng.uniform(0, np.pi, n),
            tangent=around(0.5, -0.4, 0.1),
            serif=np.where(rng.random(n) < 0.35 * style, rng.uniform(0.14, 0.3, n), 0.0),
            bend=np.concatenate([amplitude, frequency], axis=-1),
            phase=rng.uniform(0, 2 * np.pi, (n, 2, 2)),
            soft=around(1.0, 0.0, 0.8),
            level=around(1.0, -0.35, 0.0),
            grain=around(0.0, 0.0, 0.06),
        )


def _render(glyph: Glyph, pen: _Pen, side: int, rng: np.random.Generator) -> np.ndarray:
    """Images (n, side, side) uint8 of one glyph in n fonts."""
    control = [_bent(np.broadcast_to(stroke, (len(pen.height), *stroke.shape)), pen) for stroke in glyph]
    pieces = segments(glyph, control, pen.tangent, pen.serif)
    placed = Segments(_placed(pieces.start, pen, side), _placed(pieces.stop, pen, side))
    along = placed.stop - placed.start
    heading = np.arctan2(along[..., 1], along[..., 0])
    radius = side * pen.radius[:, None] * (1 - pen.contrast[:, None] * np.cos(2 * (heading - pen.nib[:, None])))
    covered = (0.5 + ink(placed, radius, side) / pen.soft[:, None, None]).clip(0, 1)
    grey = pen.level[:, None, None] * covered + pen.grain[:, None, None] * rng.standard_normal(covered.shape)
    image: np.ndarray = np.rint(255 * grey.clip(0, 1)).astype(np.uint8)
    return image


def _bent(points: np.ndarray, pen: _Pen) -> np.ndarray:
    """Control points (n, P, 2) moved by smooth waves, which leave what touches together."""
    amplitude, frequency = pen.bend[..., 0], pen.bend[..., 1:]  # (n, 2, 2), (n, 2, 2, 2)
    angle = np.einsum("npi,nawi->npaw", points, frequency) + pen.phase[:, None]
    moved: np.ndarray = points + (amplitude[:, None] * np.sin(angle)).sum(-1)
    return moved


def _placed(points: np.ndarray, pen: _Pen, side: int) -> np.ndarray:
    """Points (n, S, 2) of the unit box in pixels: widened, slanted, turned and shifted."""

    def each(values: np.ndarray) -> np.ndarray:
        return values[:, None]

    up = points[..., 1] - 0.5
    across = each(pen.width) * (points[..., 0] - 0.5) - each(pen.slant) * up
    cos, sin = each(np.cos(pen.turn)), each(np.sin(pen.turn))
    turned = np.stack([cos * across - sin * up, sin * across + cos * up], axis=-1)
    pixels: np.ndarray = side * (0.5 + pen.shift[:, None] + pen.height[:, None, None] * turned)
    return pixels
