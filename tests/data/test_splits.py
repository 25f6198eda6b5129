"""Splits, thinning, hiding and noise against what one would count by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdcore.contracts.data import Dataset
from kdcore.data._splits import Prepared, Raw, channel_statistics, corrupt, pick, prepare, split_off
from kdcore.errors import BadInput


def raw(counts: list[int], group: np.ndarray | None = None) -> Raw:
    """Rows that carry their own number, so that one can be told from another."""
    y = np.repeat(np.arange(len(counts)), counts)
    x = np.stack([np.arange(len(y)), y], axis=1).astype(np.float32)
    return Raw(x, y, x[:0], y[:0], tuple(f"c{k}" for k in range(len(counts))), group)


def prepared(counts: list[int], **knobs: object) -> Dataset:
    return prepare(raw(counts), Prepared(**knobs))


shares = st.floats(0.01, 1.0)
classes = st.lists(st.integers(2, 40), min_size=2, max_size=6)


@given(classes, st.floats(0.01, 0.5), st.integers(0, 50))
def test_validation_is_stratified_and_the_splits_part_the_rows(counts: list[int], share: float, seed: int) -> None:
    data = prepared(counts, validation=share, seed=seed)
    held = np.bincount(data.val.y)
    assert held.tolist() == [min(max(1, round(share * n)), n - 1) for n in counts]
    assert sorted([*data.train.x[:, 0], *data.val.x[:, 0]]) == list(range(sum(counts)))


@given(classes, shares, shares)
def test_fractions_are_stratified_and_keep_one_of_each_class(counts: list[int], used: float, labelled: float) -> None:
    data = prepared(counts, train_fraction=used, label_fraction=labelled)
    left = np.array(counts) - np.bincount(data.val.y)
    kept = np.bincount(data.clean_train_y)
    assert kept.tolist() == [max(1, round(used * n)) for n in left]
    seen = data.train.y >= 0
    assert np.bincount(data.train.y[seen]).tolist() == [max(1, round(labelled * n)) for n in kept]
    assert np.array_equal(data.train.y[seen], data.clean_train_y[seen])
    assert (data.train.y[~seen] == -1).all()
    assert np.array_equal(data.clean_train_y, data.train.x[:, 1])


def test_all_labels_can_be_hidden_and_the_rows_stay() -> None:
    whole, bare = prepared([20, 30]), prepared([20, 30], label_fraction=0.0, label_noise=0.5)
    assert (bare.train.y == -1).all()
    assert np.array_equal(bare.train.x, whole.train.x)
    assert np.array_equal(bare.clean_train_y, whole.train.y)
    assert (bare.val.y >= 0).all()


@given(classes, st.floats(0.0, 0.9), shares, st.integers(0, 50))
def test_noise_replaces_an_exact_share_of_the_labels_that_are_seen(
    counts: list[int], rate: float, labelled: float, seed: int
) -> None:
    data = prepared(counts, label_noise=rate, label_fraction=labelled, seed=seed)
    seen = data.train.y >= 0
    wrong = seen & (data.train.y != data.clean_train_y)
    assert wrong.sum() == round(rate * seen.sum())
    assert data.train.y.max() < len(counts)


def test_noise_favours_no_other_class() -> None:
    noisy = corrupt(np.zeros(90_000, dtype=np.int64), 1.0, 4, np.random.default_rng(0))
    counts = np.bincount(noisy, minlength=4)
    assert counts[0] == 0
    assert ((counts[1:] - 30_000) ** 2 / 30_000).sum() < 13.8  # chi-square, 2 degrees of freedom, p = 0.001


@pytest.mark.parametrize(("knob", "less", "more"), [("train_fraction", 0.2, 0.6), ("label_fraction", 0.2, 0.6)])
def test_a_larger_share_holds_the_smaller_one(knob: str, less: float, more: float) -> None:
    few, many = (prepared([30, 50], **{knob: share}) for share in (less, more))
    seen = [set(data.train.x[data.train.y >= 0, 0]) for data in (few, many)]
    assert seen[0] < seen[1]


def test_more_noise_keeps_the_rows_that_were_noisy() -> None:
    few, many = (prepared([50, 50, 50], label_noise=rate).train.y for rate in (0.2, 0.5))
    clean = prepared([50, 50, 50]).train.y
    assert np.array_equal(few[few != clean], many[few != clean])


def test_a_group_stays_on_one_side() -> None:
    rows = raw([40, 40])
    group = np.arange(80) // 4
    data = prepare(rows._replace(group=group), Prepared(validation=0.3))
    sides = [set(group[split.x[:, 0].astype(int)]) for split in (data.train, data.val)]
    assert not sides[0] & sides[1]
    assert sides[0] | sides[1] == set(group)
    assert len(data.val.y) == 4 * 2 * 3


def test_a_class_too_small_to_split_is_named() -> None:
    with pytest.raises(BadInput, match=r"^Class 'c0' is too small: .* at least 2 samples .* it has 1; add .*\.$"):
        prepared([1, 1])
    with pytest.raises(BadInput, match=r"Class 'c1' .* has 0"):
        prepare(raw([5, 0, 5]), Prepared())


def test_split_off_shuffles_what_stays() -> None:
    y = np.repeat(np.arange(5), 20)
    stay, gone = split_off(y, 0.2, np.random.default_rng(0))
    assert sorted([*stay, *gone]) == list(range(100))
    assert np.bincount(y[gone]).tolist() == [4] * 5
    assert len(set(y[stay[:16]])) > 1


def test_pick_takes_every_row_at_share_one() -> None:
    assert pick(np.array([3, 3, 0, 7]), 1.0, np.random.default_rng(0)).tolist() == [0, 1, 2, 3]


@given(st.integers(0, 100), st.integers(1, 3))
def test_channel_statistics_agree_with_numpy(seed: int, channels: int) -> None:
    x = np.random.default_rng(seed).integers(0, 256, (5, channels, 4, 4), dtype=np.uint8)
    mean, std = channel_statistics(x)
    np.testing.assert_allclose(mean, (x / 255).mean((0, 2, 3)))
    np.testing.assert_allclose(std, (x / 255).std((0, 2, 3)))


def test_a_channel_that_never_changes_divides_by_no_zero() -> None:
    mean, std = channel_statistics(np.full((4, 1, 2, 2), 51, dtype=np.uint8))
    assert mean == pytest.approx((0.2,))
    assert std == (1 / 255,)
