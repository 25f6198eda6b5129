"""Exclusive or: neither coordinate alone determines the class, both together do."""

from typing import ClassVar

import numpy as np

from kdcore.data._toys import Toy


class Xor(Toy):
    """Four squares about the origin; opposite ones are of one class."""

    title: ClassVar[str] = "Exclusive or"

    def names(self) -> tuple[str, ...]:
        """Whether the two coordinates have the same sign."""
        return ("same sign", "opposite signs")

    def shape(self, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return a point (N, 2) in one of the two squares of each class."""
        first = rng.choice([-1.0, 1.0], len(y))
        signs = np.stack([first, np.where(y == 0, first, -first)], axis=1)
        return signs * rng.uniform(0.0, 1.7, (len(y), 2))
