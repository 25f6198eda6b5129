"""Round clusters, up to one for each letter: neighbours overlap, so the wrong classes carry information."""

from string import ascii_uppercase
from typing import ClassVar

import numpy as np
from pydantic import Field

from kdcore.data._toys import Toy

GOLDEN_ANGLE = np.pi * (3 - np.sqrt(5))  # turns by it spread points evenly over a disc (Vogel, 1979)
RADIUS = 2.0  # of the disc that holds the centres


class Blobs(Toy):
    """Normal clouds whose centres lie like the seeds of a sunflower."""

    title: ClassVar[str] = "Blobs"
    samples: int = Field(1040, ge=60, le=20_000, description="Points to train and validate on; as many more to test.")
    noise: float = Field(0.3, ge=0.0, le=2.0, description="Standard deviation of a blob, in distances between centres.")
    classes: int = Field(8, ge=2, le=26, description="Number of blobs.")

    def names(self) -> tuple[str, ...]:
        """Letters, outwards from the middle."""
        return tuple(ascii_uppercase[: self.classes])

    def spread(self) -> float:
        """Return the noise times the distance between neighbours, so that any number of blobs is equally hard."""
        return self.noise * RADIUS * float(np.sqrt(np.pi / self.classes))

    def shape(self, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return the centre (N, 2) of each blob."""
        radius = RADIUS * np.sqrt((y + 0.5) / self.classes)
        centres: np.ndarray = radius[:, None] * np.stack([np.cos(GOLDEN_ANGLE * y), np.sin(GOLDEN_ANGLE * y)], axis=1)
        return centres
