"""What a data set must be. No torch is imported here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import Field

from kdcore.contracts.knobs import Knobs


class Split(NamedTuple):
    """Rows of one split."""

    x: np.ndarray  # (N, K, H, W) uint8, or (N, F) float32
    y: np.ndarray  # (N,) int64, -1 where unlabelled


class Dataset(NamedTuple):
    """A loaded data set. Pixels are 0..255; a network sees (x/255 - mean) / std, features as they are."""

    train: Split
    val: Split  # apart from train and test; never trained on
    test: Split
    classes: tuple[str, ...]
    mean: tuple[float, ...]  # per channel, of x/255 over the training rows before `train_fraction`; empty for features
    std: tuple[float, ...]
    clean_train_y: np.ndarray  # (N,) the training labels before noise and hiding


class Recipe(NamedTuple):
    """Settings that suit a data set on two cores; knobs not named keep their defaults."""

    teacher: tuple[str, dict[str, object]]
    student: tuple[str, dict[str, object]]
    teacher_schedule: dict[str, object]
    schedule: dict[str, object]
    augment: str = "none"


Report = Callable[[str, float], None]  # what is being done, and the share that is done


def silent(what: str, share: float) -> None:
    """Ignore a report, for callers that show nothing."""


class Data(Knobs):
    """A data set with the four troubles every one can have; `load` does the same for all, `raw` is the set's own."""

    family: ClassVar[Literal["2-D toy", "image"]]
    recipe: ClassVar[Recipe]
    label_noise: float = Field(0.0, ge=0.0, le=0.9, description="Share of training labels replaced by another class.")
    label_fraction: float = Field(
        1.0, ge=0.0, le=1.0, description="Share of training samples that keep their label; 0 hides all of them."
    )
    train_fraction: float = Field(1.0, gt=0.0, le=1.0, description="Share of the training samples that is used.")
    validation: float = Field(0.1, ge=0.01, le=0.5, description="Share of the training samples held out to validate.")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="Seed of sampling, noise and splits.")

    def signature(self) -> tuple[tuple[int, ...], int]:
        """Shape of one input, (K, H, W) or (F,), and the number of classes, without loading anything."""
        raise NotImplementedError

    def ready(self) -> None:
        """Make sure before a run that all is given that a person must give.

        Raises:
            BadInput: something is missing, such as the path of a folder.
        """

    def load(self, folder: Path, report: Report = silent) -> Dataset:
        """Read or make the data; files of downloadable sets live below `folder`.

        Raises:
            BadInput: files are absent or damaged, or a class is too small to be split.
        """
        raise NotImplementedError
