"""Your own points: draw a problem and watch two networks solve it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from kdcore.contracts.data import Recipe, Report
from kdcore.data._splits import Prepared, Raw, require, split_off, stream
from kdcore.data._toys import TOY_RECIPE
from kdcore.errors import BadInput, shortened

TEST_SHARE = 0.2
LEAST = 6  # points of a class, so that each split has some
CLASSES = 26
FARTHEST = 1e6
LONGEST = 40  # characters of the name of a class


def _example() -> list[Any]:
    """Return a smile (class 0) and the head around it (class 1), 40 points each."""
    turn = np.arange(40) / 40
    smile = np.stack([0.5 * np.cos(np.pi * turn), -0.5 * np.sin(np.pi * turn)], axis=1)
    head = np.stack([np.cos(2 * np.pi * turn), np.sin(2 * np.pi * turn)], axis=1)
    return [[round(float(x), 3), round(float(y), 3), k] for k, part in enumerate((smile, head)) for x, y in part]


class Points(Prepared):
    """Points in the plane as a person gave them, centred and brought to unit deviation."""

    title: ClassVar[str] = "Your own points"
    family: ClassVar[Literal["2-D toy", "image"]] = "2-D toy"
    recipe: ClassVar[Recipe] = TOY_RECIPE
    points: list[Any] = Field(_example(), max_length=5000, description="Triples [x, y, class]; classes count from 0.")
    names: list[Any] = Field(
        [],
        max_length=CLASSES,
        description="Names of the classes, in order; the others go by their number.",
    )

    def signature(self) -> tuple[tuple[int, ...], int]:
        """Two features, and as many classes as were drawn."""
        return (2,), len(self._parsed()[1])

    def raw(self, folder: Path, report: Report) -> Raw:
        """Return the points, a fifth of each class apart to test."""
        table, names = self._parsed()
        centred = table[:, :2] - table[:, :2].mean(0)
        x = (centred / (centred.std() or 1.0)).astype(np.float32)
        y = table[:, 2].astype(np.int64)
        rest, test = split_off(y, TEST_SHARE, stream(self.seed, "test points"))
        return Raw(x[rest], y[rest], x[test], y[test], names)

    def _parsed(self) -> tuple[np.ndarray, tuple[str, ...]]:
        """Points (N, 3) float64 and the names of their classes.

        Raises:
            BadInput: a triple is not one, or a class has too few points.
        """
        for place, point in enumerate(self.points):
            if not _is_triple(point):
                raise BadInput(
                    f"A point is [x, y, class] with two finite numbers and a class from 0 to {CLASSES - 1}, "
                    f"but point {place + 1} is {point!r:.80}; correct or remove it."
                )
        table = np.array(self.points, dtype=np.float64).reshape(-1, 3)
        names = self._named(int(table[:, 2].max(initial=-1)) + 1)
        if len(names) < 2:
            raise BadInput(f"Points of at least two classes are needed, but got {len(names)}; draw another class.")
        require(table[:, 2].astype(np.int64), names, LEAST, "drawn data")
        return table, names

    def _named(self, count: int) -> tuple[str, ...]:
        """Return the names of `count` classes.

        Raises:
            BadInput: one is no short text, or two are called alike.
        """
        wrong = next((name for name in self.names if not isinstance(name, str) or not 0 < len(name) <= LONGEST), None)
        if wrong is not None:
            raise BadInput(f"A class is called by 1 to {LONGEST} characters, but one is {shortened(wrong)}; change it.")
        names = (*self.names[:count], *(f"class {label}" for label in range(len(self.names), count)))
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise BadInput(f"Each class has a name of its own, but two are called {twice!r}; rename one.")
        return names


def _is_triple(point: object) -> bool:
    if not isinstance(point, (list, tuple)) or len(point) != 3:
        return False
    if any(isinstance(value, bool) or not isinstance(value, (int, float)) for value in point):
        return False
    x, y, label = point
    return bool(abs(x) <= FARTHEST and abs(y) <= FARTHEST and label in range(CLASSES))
