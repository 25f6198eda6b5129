"""The published files themselves, where a machine has them: KDLAB_REAL_DATA is torchvision's root folder."""

import os
from pathlib import Path

import numpy as np
import pytest

from kdcore.spec.registry import DATA

pytestmark = pytest.mark.real
ROOT = Path(os.environ.get("KDLAB_REAL_DATA", "/nonexistent"))
TRAIN_ROWS = {"mnist": 60_000, "fashion_mnist": 60_000, "cifar10": 50_000, "cifar100": 50_000}
MEAN = {  # as papers on these sets state it, over all training rows
    "mnist": (0.1307,),
    "fashion_mnist": (0.2860,),
    "cifar10": (0.4914, 0.4822, 0.4465),
    "cifar100": (0.5071, 0.4865, 0.4409),
}


@pytest.mark.parametrize("name", TRAIN_ROWS)
def test_published_splits_are_whole(name: str) -> None:
    kind = DATA[name]()
    if not all((ROOT / place).is_file() for place in kind.files()):
        pytest.skip(f"{kind.title} is not below KDLAB_REAL_DATA")
    data = kind.load(ROOT)
    shape, classes = kind.signature()
    assert len(data.train.y) + len(data.val.y) == TRAIN_ROWS[name]
    assert data.test.x.shape == (10_000, *shape)
    assert np.bincount(data.test.y, minlength=classes).min() > 0
    assert len(data.classes) == classes
    np.testing.assert_allclose(data.mean, MEAN[name], atol=2e-3)
