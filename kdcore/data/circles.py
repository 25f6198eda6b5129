"""A ring around a ring: not linearly separable, yet one number separates them, the distance from the centre."""

from typing import ClassVar

import numpy as np
from pydantic import Field

from kdcore.data._toys import Toy


class Circles(Toy):
    """Two rings about the origin, the outer one of radius 1.5."""

    title: ClassVar[str] = "Circles"
    inner: float = Field(0.5, ge=0.1, le=0.9, description="Radius of the inner ring as a share of the outer one's.")

    def names(self) -> tuple[str, ...]:
        """Inner and outer ring."""
        return ("inner", "outer")

    def shape(self, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return a point (N, 2) on each ring."""
        angle = rng.uniform(0, 2 * np.pi, len(y))
        radius = 1.5 * np.where(y == 0, self.inner, 1.0)
        points: np.ndarray = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        return points
