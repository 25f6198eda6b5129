"""The CIFAR sets: colour images of 32 x 32, packed in one archive."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np

from kdcore.contracts.data import Recipe
from kdcore.data._published import Archive, Published


class Cifar(Published):
    """Fifty thousand images to train on and ten thousand to test."""

    recipe: ClassVar[Recipe] = Recipe(
        teacher=("resnet", {"variant": "20"}),
        student=("resnet", {"variant": "8"}),
        teacher_schedule={"steps": 4000, "batch": 64, "lr": 0.05, "warmup": 0.05},
        schedule={"steps": 4000, "batch": 64, "lr": 0.05, "warmup": 0.05},
        augment="crop_flip",
    )

    def files(self) -> Mapping[str, str]:
        """Return the unpacked files that torchvision reads."""
        kind = self.torchvision()
        parts = [*kind.train_list, *kind.test_list, (kind.meta["filename"], kind.meta["md5"])]
        return {f"{kind.base_folder}/{name}": md5 for name, md5 in parts}

    def archives(self) -> Mapping[str, Archive]:
        """Return the one archive at torchvision's address."""
        kind = self.torchvision()
        return {kind.filename: Archive((kind.url,), kind.tgz_md5)}

    def read(self, folder: Path, train: bool) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
        """Images (N, 3, 32, 32) uint8, labels (N,) int64 and class names."""
        held = self.torchvision()(folder, train=train)
        pixels = np.ascontiguousarray(held.data.transpose(0, 3, 1, 2))
        return pixels, np.array(held.targets, dtype=np.int64), tuple(name.replace("_", " ") for name in held.classes)
