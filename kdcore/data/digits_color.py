"""Digits times colours: 30 to 100 classes, so that a teacher's outputs carry much information on the wrong ones.

A class is a digit in a colour, such as "3 teal". Hues vary about their colour, so neighbouring colours are confused
with each other as similar digits are: two independent sources of dark knowledge, without a download.

Source: our own; the shapes are those of `digits`.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from kdcore.contracts.data import Recipe, Report
from kdcore.data._digits import NAMES, handwritten
from kdcore.data._splits import Prepared, Raw, stream

WHEEL = ("red", "orange", "yellow", "lime", "green", "mint", "teal", "azure", "blue", "violet", "magenta", "rose")


class DigitsColor(Prepared):
    """Coloured digits (3, 16, 16) on dark, noisy ground."""

    title: ClassVar[str] = "Digits × colours"
    family: ClassVar[Literal["2-D toy", "image"]] = "image"
    recipe: ClassVar[Recipe] = Recipe(
        teacher=("cnn", {"width": 32}),
        student=("cnn", {"width": 8}),
        teacher_schedule={"steps": 1200, "batch": 64, "lr": 0.05},
        schedule={"steps": 1500, "batch": 64, "lr": 0.05},
    )
    colors: int = Field(5, ge=3, le=10, description="Colours, evenly spaced in hue; there are ten classes of each.")
    hue_jitter: float = Field(
        0.25, ge=0.0, le=1.0, description="Standard deviation of the hue, in distances between neighbouring colours."
    )

    def signature(self) -> tuple[tuple[int, ...], int]:
        """Three channels of 16 x 16, and ten classes per colour."""
        return (3, 16, 16), 10 * self.colors

    def raw(self, folder: Path, report: Report) -> Raw:
        """Every digit once in every colour; the copies of one digit stay in one split."""
        digits = handwritten()
        classes = tuple(f"{digit} {WHEEL[round(12 * k / self.colors)]}" for digit in NAMES for k in range(self.colors))
        x, y = self._painted(digits.x, digits.y, "colours")
        test_x, test_y = self._painted(digits.test_x, digits.test_y, "test colours")
        return Raw(x, y, test_x, test_y, classes, group=np.arange(len(y)) // self.colors)

    def _painted(self, x: np.ndarray, y: np.ndarray, purpose: str) -> tuple[np.ndarray, np.ndarray]:
        """Images (N, 1, 8, 8) and digits (N,) as (N * colors, 3, 16, 16) uint8 and product classes."""
        rng = stream(self.seed, purpose)
        color = np.tile(np.arange(self.colors), len(x))
        ink = np.repeat(_doubled(x[:, 0] / 255), self.colors, axis=0)[:, None]  # (M, 1, 16, 16)
        hue = (color + self.hue_jitter * rng.standard_normal(len(color))) / self.colors
        pen = _rgb(hue, rng.uniform(0.6, 1.0, len(color)), rng.uniform(0.6, 1.0, len(color)))[:, :, None, None]
        ground = rng.uniform(0.0, 0.3, (len(color), 3, 1, 1))
        painted = ground + ink * (pen - ground) + 0.06 * rng.standard_normal((len(color), 3, 16, 16))
        return np.rint(255 * painted.clip(0, 1)).astype(np.uint8), np.repeat(y, self.colors) * self.colors + color


def _doubled(images: np.ndarray) -> np.ndarray:
    """Images (N, S, S) at twice the side, bilinear between pixel centres."""
    size = images.shape[-1]
    place = ((np.arange(2 * size) + 0.5) / 2 - 0.5).clip(0, size - 1)
    weights = np.maximum(0, 1 - np.abs(place[:, None] - np.arange(size)))  # (2S, S)
    larger: np.ndarray = weights @ images @ weights.T
    return larger


def _rgb(hue: np.ndarray, saturation: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Colours (N, 3) in [0, 1] of hues (N,) in turns (any real), saturations and values (N,) in [0, 1]."""
    sector = (np.array([5.0, 3.0, 1.0]) + 6 * hue[:, None]) % 6
    ramp = np.minimum(sector, 4 - sector).clip(0, 1)
    colors: np.ndarray = value[:, None] * (1 - saturation[:, None] * ramp)
    return colors
