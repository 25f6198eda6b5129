"""What `load` does for every data set: splits, thinning, hiding and noise, each a function of the seed alone.

Every trouble draws from a stream of its own, so turning one knob leaves what the others drew as it was: more noise
keeps the rows that were noisy, and a larger fraction keeps the rows that were there.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kdcore.contracts.data import Data, Dataset, Report, Split, silent
from kdcore.errors import BadInput


class Raw(NamedTuple):
    """A data set before it is split for training; the test rows are already apart."""

    x: np.ndarray  # (N, K, H, W) uint8, or (N, F) float32
    y: np.ndarray  # (N,) int64
    test_x: np.ndarray
    test_y: np.ndarray
    classes: tuple[str, ...]
    group: np.ndarray | None = None  # (N,) rows of one group stay on one side; None when every row is its own


class Prepared(Data):
    """A data set that says what its rows are and leaves the rest to `prepare`."""

    def raw(self, folder: Path, report: Report) -> Raw:
        """Return the set's own rows.

        Raises:
            BadInput: files are absent or damaged.
        """
        raise NotImplementedError

    def load(self, folder: Path, report: Report = silent) -> Dataset:
        """Read or make the data; files of downloadable sets live below `folder`.

        Raises:
            BadInput: files are absent or damaged, or a class is too small to be split.
        """
        return prepare(self.raw(folder, report), self)


def prepare(raw: Raw, knobs: Data) -> Dataset:
    """Split, thin, hide and spoil, in this order; validation and test keep their true labels.

    Mean and deviation are those of the training split before it is thinned, so that a teacher and a student trained
    on different shares of it see the same inputs.

    Raises:
        BadInput: a class is too small to be split.
    """
    train, val = _hold_out(raw, knobs)
    mean, std = channel_statistics(raw.x[train])
    train = train[pick(raw.y[train], knobs.train_fraction, stream(knobs.seed, "train fraction"))]
    clean = raw.y[train]
    visible = labelled(clean, knobs.label_fraction, knobs.seed)
    labels = np.full_like(clean, -1)
    labels[visible] = corrupt(clean[visible], knobs.label_noise, len(raw.classes), stream(knobs.seed, "label noise"))
    return Dataset(
        train=Split(raw.x[train], labels),
        val=Split(raw.x[val], raw.y[val]),
        test=Split(raw.test_x, raw.test_y),
        classes=raw.classes,
        mean=mean,
        std=std,
        clean_train_y=clean,
    )


def stream(seed: int, purpose: str) -> np.random.Generator:
    """Random numbers for one purpose, unrelated to those of any other purpose or seed."""
    return np.random.default_rng([seed, zlib.crc32(purpose.encode())])


def labelled(y: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Rows that keep their label, ascending: a stratified share with one of each class, or none at a share of 0."""
    return pick(y, share, stream(seed, "label fraction")) if share else np.arange(0)


def pick(y: np.ndarray, share: float, rng: np.random.Generator, spare: int = 0) -> np.ndarray:
    """Rows of a stratified share, ascending: of a class with n rows round(share * n), from 1 up to n - spare."""
    order = rng.permutation(len(y))
    members = [order[y[order] == label] for label in np.unique(y)]
    counts = [min(max(1, round(share * len(rows))), len(rows) - spare) for rows in members]
    return np.sort(np.concatenate([rows[:count] for rows, count in zip(members, counts, strict=True)]))


def split_off(y: np.ndarray, share: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rows that stay, shuffled, and rows of a stratified share that go, ascending; a class keeps at least one row."""
    gone = pick(y, share, rng, spare=1)
    return rng.permutation(np.setdiff1d(np.arange(len(y)), gone)), gone


def corrupt(y: np.ndarray, rate: float, classes: int, rng: np.random.Generator) -> np.ndarray:
    """Labels (N,) of which round(rate * N) are another class, every other class being equally likely."""
    away = rng.integers(1, classes, len(y))
    rows = rng.permutation(len(y))[: round(rate * len(y))]
    noisy = y.copy()
    noisy[rows] = (y[rows] + away[rows]) % classes
    return noisy


def channel_statistics(x: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of x / 255 per channel, pixels (N, K, H, W) uint8; both empty for features (N, F)."""
    if x.ndim != 4:
        return (), ()
    levels = np.arange(256) / 255
    shares = np.stack([_histogram(x[:, channel]) for channel in range(x.shape[1])]) / x[:, 0].size
    mean = shares @ levels
    std = np.sqrt((shares * (levels - mean[:, None]) ** 2).sum(1))
    return tuple(mean.tolist()), tuple(np.maximum(std, 1 / 255).tolist())


def require(y: np.ndarray, classes: tuple[str, ...], least: int, purpose: str) -> None:
    """Refuse a class with fewer than `least` samples.

    Raises:
        BadInput: names the first such class.
    """
    counts = np.bincount(y, minlength=len(classes))
    small = int(np.argmax(counts < least))
    if counts[small] < least:
        raise BadInput(
            f"Class {classes[small]!r} is too small: {purpose} needs at least {least} samples of each class, "
            f"but it has {counts[small]}; add samples or remove the class."
        )


def _hold_out(raw: Raw, knobs: Data) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the training and of the validation split, both ascending; no group is in both."""
    require(raw.y, raw.classes, 2, "a training and a validation split")
    group = np.arange(len(raw.y)) if raw.group is None else raw.group
    _, first, member = np.unique(group, return_index=True, return_inverse=True)
    held = np.zeros(len(first), dtype=bool)
    held[pick(raw.y[first], knobs.validation, stream(knobs.seed, "validation"), spare=1)] = True
    return np.flatnonzero(~held[member]), np.flatnonzero(held[member])


def _histogram(values: np.ndarray, rows: int = 4096) -> np.ndarray:
    """How often each of the 256 levels occurs, counted some rows at a time to spare memory."""
    counts = np.zeros(256, dtype=np.int64)
    for start in range(0, len(values), rows):
        counts += np.bincount(values[start : start + rows].ravel(), minlength=256)
    return counts
