"""What services share that read pixels at some scale and answer with logits, probabilities or class numbers."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from kdcore.contracts.access import Access
from kdcore.contracts.service import Service
from kdcore.errors import BadInput, shortened
from kdcore.files.logit_check import flat, logarithms, probable
from kdcore.teachers._labels import Told, are_numbers, check_grade, one_hot

SUM_ERROR = 0.2  # how far from 1 rounded probabilities may sum
PROBABLE = (
    "The teacher's answers look like probabilities, as in each row none is negative and all sum to 1, but are read as "
    "logits; set 'Answers' (Connection and input settings) to 'probabilities', or to 'raw' if they are logits all the "
    "same."
)


class Reader(Service):
    """Knobs of a service that reads scaled pixels."""

    scale: Literal["unit", "signed", "bytes", "normalised"] = Field(
        "unit", description="Pixels as it reads them: 0 to 1, -1 to 1, 0 to 255, or (value - mean) / std."
    )
    mean: tuple[float, ...] = Field((0.0,), description="Of 0-to-1 pixels, one or one per channel; 'normalised' only.")
    std: tuple[float, ...] = Field(
        (1.0,), title="Standard deviation", description="Of 0-to-1 pixels, one or one per channel; 'normalised' only."
    )
    answers: Literal["logits", "probabilities", "raw"] = Field(
        "logits",
        description="What its answers are, where they are no class numbers; 'raw': logits, even if rows sum to 1.",
    )

    def check_scale(self, shape: tuple[int, ...]) -> None:
        """That mean and std suit images of `shape`, and are not given for nothing.

        Raises:
            BadInput: they do not, or a std is not positive.
        """
        if self.scale != "normalised":
            if (self.mean, self.std) != ((0.0,), (1.0,)):
                raise BadInput(f"Mean and std are used at scale 'normalised' alone, but the scale is {self.scale!r}.")
            return
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, shape[0]):
                raise BadInput(
                    f"The teacher's {name} has {len(values)} values, but images have {shape[0]} channels; give one or "
                    f"{shape[0]}."
                )
        if not np.isfinite([*self.mean, *self.std]).all() or min(self.std) <= 0:
            raise BadInput(f"The teacher's std must be positive numbers, but is {list(self.std)}.")

    def fed(self, images: Tensor) -> np.ndarray:
        """Images (B, K, H, W) with values from 0 to 1 as the service reads them, in float32; features (B, F) as they
        are."""
        x: np.ndarray = images.detach().float().cpu().numpy()
        if x.ndim != 4 or self.scale == "unit":
            return x
        if self.scale == "signed":
            return x * np.float32(2) - np.float32(1)
        if self.scale == "bytes":
            return x * np.float32(255)
        mean, std = (np.array(values, np.float32).reshape(1, -1, 1, 1) for values in (self.mean, self.std))
        found: np.ndarray = (x - mean) / std
        return found

    def ask_back(self) -> None:
        """That answers which look like probabilities are not read as logits by mere default.

        Raises:
            BadInput: they are.
        """
        if self.answers == "logits":
            raise BadInput(PROBABLE)

    def read(self, answers: np.ndarray, classes: int, access: Access) -> Told:
        """Answers as they came: rows (B, C) or (B, C, 1, 1), or class numbers (B,) or (B, 1).

        Raises:
            BadInput: they are neither, or less than `access` grants.
        """
        answers = flat(answers)
        if are_numbers(answers.dtype.kind, answers.shape, classes):
            check_grade(access)
            return one_hot(answers, classes)
        if answers.ndim != 2:
            raise BadInput(
                "The teacher must answer with a row of numbers an image, or a class number as an integer, but gives "
                f"{answers.dtype} of {shortened(answers.shape[1:])}."
            )
        check_classes(answers.shape[1], classes)
        with np.errstate(over="ignore"):  # what becomes infinite is refused where it is bought
            logits = answers.astype(np.float32)
        return Told(self.told(logits, access))

    def told(self, answers: np.ndarray, access: Access) -> np.ndarray:
        """Answers (B, C) as logits, or as the logarithms of probabilities; rows with NaN stay as they are.

        Raises:
            BadInput: they are said to be probabilities and are none, or look like some and are read as logits.
        """
        if access != "labels" and probable(answers):  # labels are the same either way
            self.ask_back()
        if self.answers != "probabilities":
            return answers
        known = answers[np.isfinite(answers).all(1)]
        if known.size and (known.min() < -1e-3 or np.abs(known.sum(1) - 1).max() > SUM_ERROR):
            raise BadInput(
                "The teacher's answers are no probabilities, as they are negative or do not sum to 1; set 'Answers' "
                "(Connection and input settings) to 'logits'."
            )
        return logarithms(answers)


def as_tensor(logits: np.ndarray) -> Tensor:
    """Logits (B, C) in float32."""
    return torch.from_numpy(np.ascontiguousarray(logits, dtype=np.float32))


def check_classes(found: int, classes: int) -> None:
    """That the service tells as many classes as the data have.

    Raises:
        BadInput: it does not.
    """
    if found != classes:
        raise BadInput(
            f"The teacher tells {found} classes apart, but the data have {classes}; choose the data it was made for, "
            "or another teacher."
        )


def check_shape(found: tuple[int | None, ...], shape: tuple[int, ...]) -> None:
    """That the service reads inputs of `shape`; None in `found` is any size.

    Raises:
        BadInput: it reads others.
    """
    if len(found) == len(shape) and all(size in (None, mine) for size, mine in zip(found, shape, strict=True)):
        return
    theirs, ours = ("x".join("any" if size is None else str(size) for size in sizes[:8]) for sizes in (found, shape))
    theirs += f"x… ({len(found)} dimensions)" if len(found) > 8 else ""
    raise BadInput(
        f"The teacher reads inputs of {theirs or 'no known shape'}, but the data are {ours} (channels first); nothing "
        "is resized silently, so choose data of its shape or another teacher."
    )
