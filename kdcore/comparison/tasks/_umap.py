"""UMAP with a fixed seed. It is imported where it is needed, as it compiles code for half a minute.

Source: McInnes, Healy and Melville, UMAP, 2018, arXiv 1802.03426; AlignedUMAP of umap-learn.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from types import ModuleType

import numpy as np

EPOCHS = 200
Passed = Callable[[float], None]  # told the share that is done
Together = Callable[[list[np.ndarray], int, float], list[np.ndarray]]  # values, neighbours, apart -> places
OfDistances = Callable[[np.ndarray, int], np.ndarray]  # (n, n), neighbours -> places (n, 2)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what is known: TensorFlow is missing, a seed means one thread, small sets are not connected."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _umap() -> ModuleType:
    with _quiet():
        import umap
    found: ModuleType = umap
    return found


@contextmanager
def _watched(umap: ModuleType, passed: Passed, layouts: int = 1) -> Iterator[None]:
    """Tell the share of so many layouts that is over, in the place of the bar that UMAP would print of each."""
    over = count()

    def watch(epochs: range, **_: object) -> Iterator[int]:
        before = next(over)
        for epoch in epochs:
            passed((before + epoch / len(epochs)) / layouts)
            yield epoch

    bar, umap.layouts.tqdm = umap.layouts.tqdm, watch
    try:
        with _quiet():
            yield
    finally:
        umap.layouts.tqdm = bar


def together(passed: Passed) -> Together:
    """Lays out one set of values, or two of the same rows so that places can be compared; tells what is done."""
    umap = _umap()

    def lay(values: list[np.ndarray], neighbours: int, apart: float) -> list[np.ndarray]:
        knobs = {"n_neighbors": neighbours, "min_dist": apart, "random_state": 0, "n_epochs": EPOCHS}
        one_by_one_and_aligned = len(values) + (len(values) > 1)
        with _watched(umap, passed, one_by_one_and_aligned):
            if len(values) == 1:
                return [umap.UMAP(**knobs).fit_transform(values[0])]
            same = {row: row for row in range(len(values[0]))}
            return list(umap.AlignedUMAP(**knobs).fit_transform(values, relations=[same]))

    return lay


def of_distances(passed: Passed) -> OfDistances:
    """Lays out rows of which the distances are given; tells the share it has done."""
    umap = _umap()

    def lay(distances: np.ndarray, neighbours: int) -> np.ndarray:
        knobs = {"metric": "precomputed", "n_neighbors": neighbours, "random_state": 0, "min_dist": 0.1}
        with _watched(umap, passed):
            found: np.ndarray = umap.UMAP(**knobs).fit_transform(distances)
        return found

    return lay
