"""Interleaved spiral arms: a decision boundary too long for a small network."""

from typing import ClassVar

import numpy as np
from pydantic import Field

from kdcore.data._toys import Toy


class Spirals(Toy):
    """Evenly turned Archimedean spirals, one a class."""

    title: ClassVar[str] = "Spirals"
    noise: float = Field(0.06, ge=0.0, le=2.0, description="Standard deviation of the points around their arm.")
    arms: int = Field(2, ge=2, le=6, description="Number of arms, one class each.")
    turns: float = Field(1.0, ge=0.25, le=2.5, description="Turns of an arm from the centre to its end.")

    def names(self) -> tuple[str, ...]:
        """Return the arms, counted from 1."""
        return tuple(f"arm {arm + 1}" for arm in range(self.arms))

    def shape(self, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return a point (N, 2) on each arm; the square root keeps the points evenly dense in the plane."""
        along = np.sqrt(rng.uniform(0.02, 1, len(y)))
        angle = 2 * np.pi * (self.turns * along + y / self.arms)
        points: np.ndarray = 2.0 * along[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        return points
