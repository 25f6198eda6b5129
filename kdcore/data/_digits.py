"""scikit-learn's digits, split once and for all into rows to learn from and rows to test on."""

from __future__ import annotations

import gzip
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kdcore.data._splits import split_off, stream

NAMES = tuple("0123456789")
TEST_SHARE = 0.2
SHIPPED = "datasets/data/digits.csv.gz"  # below scikit-learn's folder


class Handwritten(NamedTuple):
    """Images (N, 1, 8, 8) uint8 and digits (N,) int64."""

    x: np.ndarray
    y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray


def handwritten() -> Handwritten:
    """All 1,797 images; the 17 grey levels are spread over 0..255 and the test rows are always the same."""
    levels, y = _shipped()
    x = np.rint(levels.reshape(-1, 1, 8, 8) * (255 / 16)).astype(np.uint8)
    rest, test = split_off(y, TEST_SHARE, stream(0, "digits test"))
    return Handwritten(x[rest], y[rest], x[test], y[test])


def _shipped() -> tuple[np.ndarray, np.ndarray]:
    """Levels (1797, 64) in 0..16 and digits (1797,), read from the file: importing scikit-learn takes seconds."""
    package = find_spec("sklearn")
    file = Path(package.origin if package and package.origin else "").parent / SHIPPED
    if not file.is_file():
        from sklearn.datasets import load_digits

        levels, y = load_digits(return_X_y=True)
        return levels, y.astype(np.int64)
    with gzip.open(file, "rt") as lines:
        table = np.loadtxt(lines, delimiter=",")
    return table[:, :64], table[:, 64].astype(np.int64)
