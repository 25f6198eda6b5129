"""What the 2-D toys share: points around shapes of roughly unit deviation, balanced classes, fresh test points.

Every toy has a fixed scale of its own, so the same place in the plane means the same under any seed or noise.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from kdcore.contracts.data import Recipe, Report
from kdcore.data._splits import Prepared, Raw, stream

TOY_RECIPE = Recipe(
    teacher=("mlp", {"width": 64, "depth": 3}),
    student=("mlp", {"width": 8, "depth": 1}),
    teacher_schedule={"steps": 1000, "batch": 64, "optimizer": "adamw", "lr": 0.01, "weight_decay": 0.05},
    schedule={"steps": 2000, "batch": 64, "optimizer": "adam", "lr": 0.01, "weight_decay": 0.0},
)


class Toy(Prepared):
    """Points in the plane, drawn from shapes, one shape a class."""

    family: ClassVar[Literal["2-D toy", "image"]] = "2-D toy"
    recipe: ClassVar[Recipe] = TOY_RECIPE
    samples: int = Field(1000, ge=60, le=20_000, description="Points to train and validate on; as many more to test.")
    validation: float = Field(0.4, ge=0.01, le=0.5, description="Share of the training samples held out to validate.")
    noise: float = Field(0.15, ge=0.0, le=2.0, description="Standard deviation of the points around their shape.")

    def names(self) -> tuple[str, ...]:
        """Return the classes."""
        raise NotImplementedError

    def shape(self, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return a point (N, 2) on the shape of each class in y (N,)."""
        raise NotImplementedError

    def spread(self) -> float:
        """Return standard deviation of the points in the units of the plane."""
        return self.noise

    def signature(self) -> tuple[tuple[int, ...], int]:
        """Two features, and as many classes as there are shapes."""
        return (2,), len(self.names())

    def raw(self, folder: Path, report: Report) -> Raw:
        """Points for training and validation, and as many others to test."""
        return Raw(*self._draw("points"), *self._draw("test points"), self.names())

    def _draw(self, purpose: str) -> tuple[np.ndarray, np.ndarray]:
        rng = stream(self.seed, purpose)
        y = rng.permutation(np.arange(self.samples) % len(self.names()))
        points = self.shape(y, rng) + self.spread() * rng.standard_normal((self.samples, 2))
        return points.astype(np.float32), y
