"""Batches are a function of seed and step; augmentation moves pixels and invents none."""

from itertools import islice

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kdcore.sources.data import DataSource


def drawn(count: int, rows: int, batch: int, seed: int = 0, start: int = 0) -> list[torch.Tensor]:
    return list(islice(DataSource().indices(rows, batch, seed, start, "cpu"), count))


def test_an_epoch_shows_every_row_once() -> None:
    rows = torch.cat(drawn(5, rows=20, batch=4))
    assert sorted(rows.tolist()) == list(range(20))


@given(st.integers(2, 60), st.integers(2, 60), st.integers(0, 50), st.integers(0, 5))
def test_starting_later_continues_the_same_order(rows: int, batch: int, start: int, seed: int) -> None:
    whole = drawn(start + 3, rows, batch, seed)
    later = drawn(3, rows, batch, seed, start)
    assert all(torch.equal(left, right) for left, right in zip(whole[start:], later, strict=True))


def test_epochs_and_seeds_differ() -> None:
    first, second = drawn(2, rows=50, batch=50)
    other = drawn(1, rows=50, batch=50, seed=1)[0]
    assert not torch.equal(first, second)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("augment", ["shift", "crop_flip"])
def test_augmented_images_are_windows_of_the_padded_ones(augment: str) -> None:
    torch.manual_seed(0)
    x = torch.randint(1, 256, (16, 3, 12, 12), dtype=torch.uint8)
    seen = DataSource(augment=augment).transform(x, seed=3, step=7)
    pad = {"shift": 2, "crop_flip": 4}[augment]
    padded = torch.nn.functional.pad(x, (pad,) * 4)
    assert seen.shape == x.shape
    assert seen.dtype == torch.uint8
    for image, source in zip(seen, padded, strict=True):
        sides = [source] if augment == "shift" else [source, source.flip(2)]
        windows = [
            side[:, r : r + 12, c : c + 12] for side in sides for r in range(2 * pad + 1) for c in range(2 * pad + 1)
        ]
        assert any(torch.equal(image, window) for window in windows)


def test_the_draw_depends_on_the_step_alone() -> None:
    x = torch.randint(0, 256, (64, 1, 8, 8), dtype=torch.uint8)
    source = DataSource(augment="shift")
    assert torch.equal(source.transform(x, 0, 5), source.transform(x, 0, 5))
    assert not torch.equal(source.transform(x, 0, 5), source.transform(x, 0, 6))


def test_features_are_left_alone() -> None:
    x = torch.randn(8, 2)
    assert DataSource(augment="crop_flip").transform(x, 0, 0) is x
