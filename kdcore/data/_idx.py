"""Sets of grey 28 x 28 images in MNIST's own format: two splits, a file of pixels and a file of labels each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np

from kdcore.contracts.data import Recipe
from kdcore.data._published import Archive, Published

PARTS = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


class Idx(Published):
    """Sixty thousand images to train on and ten thousand to test, ten classes."""

    checksums: ClassVar[tuple[str, str, str, str]]  # md5 of the unpacked PARTS
    names: ClassVar[tuple[str, ...]]
    recipe: ClassVar[Recipe] = Recipe(
        teacher=("lenet", {"variant": "full"}),
        student=("lenet", {"variant": "half"}),
        teacher_schedule={"steps": 3000, "batch": 64, "lr": 0.02},
        schedule={"steps": 3000, "batch": 64, "lr": 0.02},
    )

    def signature(self) -> tuple[tuple[int, ...], int]:
        """One grey channel of 28 x 28, ten classes."""
        return (1, 28, 28), 10

    def files(self) -> Mapping[str, str]:
        """Return the four unpacked files."""
        return dict(zip(map(self._place, PARTS), self.checksums, strict=True))

    def archives(self) -> Mapping[str, Archive]:
        """Return the four packed files at torchvision's addresses."""
        kind = self.torchvision()
        return {
            self._place(name): Archive(tuple(mirror + name for mirror in kind.mirrors), md5)
            for name, md5 in kind.resources
        }

    def read(self, folder: Path, train: bool) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
        """Images (N, 1, 28, 28) uint8, labels (N,) int64 and class names."""
        held = self.torchvision()(folder, train=train)
        return held.data.numpy()[:, None], held.targets.numpy(), self.names

    def _place(self, name: str) -> str:
        return f"{self.torchvision_name}/raw/{name}"
