"""Handwritten digits at 8 x 8, which come with scikit-learn: 1,797 images, no download.

Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998;
the part that scikit-learn ships.
Departs from it: the 17 grey levels are spread over 0..255, and a fifth of each class is held out for testing, always
the same rows.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from kdcore.contracts.data import Recipe, Report
from kdcore.data._digits import NAMES, handwritten
from kdcore.data._splits import Prepared, Raw


class Digits(Prepared):
    """Grey digits (1, 8, 8)."""

    title: ClassVar[str] = "Digits 8 × 8"
    family: ClassVar[Literal["2-D toy", "image"]] = "image"
    recipe: ClassVar[Recipe] = Recipe(
        teacher=("cnn", {"width": 32}),
        student=("mlp", {"width": 16, "depth": 1}),
        teacher_schedule={"steps": 600, "batch": 64, "lr": 0.05},
        schedule={"steps": 1500, "batch": 64, "lr": 0.05},
    )

    def signature(self) -> tuple[tuple[int, ...], int]:
        """One grey channel of 8 x 8, ten classes."""
        return (1, 8, 8), 10

    def raw(self, folder: Path, report: Report) -> Raw:
        """Return the images that scikit-learn ships; the seed does not move the test rows."""
        return Raw(*handwritten(), NAMES)
