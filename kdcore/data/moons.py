"""Two interleaving half moons: the smallest problem with a curved decision boundary."""

from typing import ClassVar

import numpy as np

from kdcore.data._toys import Toy


class Moons(Toy):
    """Two half circles of radius 1.15, each starting inside the other."""

    title: ClassVar[str] = "Moons"

    def names(self) -> tuple[str, ...]:
        """Upper and lower moon."""
        return ("upper", "lower")

    def shape(self, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return a point (N, 2) on each moon; turning one about the origin by half a turn gives the other."""
        angle = rng.uniform(0, np.pi, len(y))
        upper = 1.15 * np.stack([np.cos(angle) - 0.5, np.sin(angle) - 0.25], axis=1)
        return upper * np.where(y == 0, 1.0, -1.0)[:, None]
