"""scikit-learn's digits, split once and for all into rows to learn from and rows to test on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kdcore.data._splits import split_off, stream

NAMES = tuple("0123456789")
TEST_SHARE = 0.2


class Handwritten(NamedTuple):
    """Images (N, 1, 8, 8) uint8 and digits (N,) int64."""

    x: np.ndarray
    y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray


def handwritten() -> Handwritten:
    """All 1,797 images; the 17 grey levels are spread over 0..255 and the test rows are always the same."""
    from sklearn.datasets import load_digits

    images, y = load_digits(return_X_y=True)
    x = np.rint(images.reshape(-1, 1, 8, 8) * (255 / 16)).astype(np.uint8)
    y = y.astype(np.int64)
    rest, test = split_off(y, TEST_SHARE, stream(0, "digits test"))
    return Handwritten(x[rest], y[rest], x[test], y[test])
