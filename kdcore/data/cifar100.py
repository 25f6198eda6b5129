"""Small colour photographs of a hundred things, 500 of each to train on: the usual benchmark of distillation papers.

Source: A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, technical report, University of
Toronto, 2009.
"""

from pathlib import Path
from typing import ClassVar

import numpy as np
from pydantic import Field

from kdcore.data._cifar import Cifar


class Cifar100(Cifar):
    """Colour photographs (3, 32, 32) with the fine labels, downloaded once (169 MB)."""

    title: ClassVar[str] = "CIFAR-100"
    torchvision_name: ClassVar[str] = "CIFAR100"
    classes: int = Field(100, ge=2, le=100, description="Classes kept, the first ones in the published order.")

    def signature(self) -> tuple[tuple[int, ...], int]:
        """Three channels of 32 x 32, and the classes kept."""
        return (3, 32, 32), self.classes

    def read(self, folder: Path, train: bool) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
        """Images, labels and names of the classes kept."""
        x, y, names = super().read(folder, train)
        kept = y < self.classes
        return x[kept], y[kept], names[: self.classes]
