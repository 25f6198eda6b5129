"""Hard labels: class numbers, as services answer with that tell nothing else. No torch is imported here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from kdcore.contracts.access import Access
from kdcore.errors import BadInput

Sizes = Sequence[int | None]  # None where any size will do
Output = tuple[str, Sizes]  # kind as NumPy has it, "" where it is not known, and shape


class Told(NamedTuple):
    """Answers as a line gives them on."""

    logits: np.ndarray  # (B, C) float32; NaN where an answer is none
    strange: str = ""  # what the first of those is instead, where that is known


def are_numbers(kind: str, shape: Sizes, classes: int) -> bool:
    """Whether a tensor holds class numbers: integers, one an image."""
    return kind in ("i", "u") and _single(shape, classes)


def telling(outputs: Sequence[Output], classes: int) -> int:
    """Return the place of the output that counts, of one or more: the first of rows (B, C) in floating point with a
    number for each class; without any the first, unless that holds one number an image or none, and then that of
    class numbers.
    """
    exact = [kind in ("", "f") and list(shape[1:2]) == [classes] and _is_row(shape) for kind, shape in outputs]
    if any(exact):
        return exact.index(True)
    kind, shape = outputs[0]
    if kind in ("", "i", "u", "f") and not _single(shape, classes):
        return 0
    rows = [kind == "f" and len(shape) == 2 and shape[1] in (None, classes) for kind, shape in outputs]
    numbers = [are_numbers(*output, classes) for output in outputs]
    return next((among.index(True) for among in (rows, numbers) if any(among)), 0)


def _is_row(shape: Sizes) -> bool:
    """Whether a tensor is (B, C), or (B, C, 1, 1) as of networks that end in a convolution."""
    return len(shape) >= 2 and set(shape[2:]) <= {1}


def _single(shape: Sizes, classes: int) -> bool:
    """Whether a tensor is (B,) or (B, 1), where the latter is no row of a single class."""
    return len(shape) == 1 or (len(shape) == 2 and shape[1] == 1 != classes)


def one_hot(numbers: np.ndarray, classes: int) -> Told:
    """Class numbers (B,) or (B, 1) as one-hot rows (B, C); NaN where there is no such class."""
    numbers = numbers.reshape(-1)
    known = (numbers >= 0) & (numbers < classes)
    rows = np.full((len(numbers), classes), np.nan, np.float32)
    rows[known] = np.eye(classes, dtype=np.float32)[numbers[known]]
    if known.all():
        return Told(rows)
    strange = f"class {numbers[known.argmin()]}, but the data's are 0 to {classes - 1}"
    return Told(rows, f"{strange} (choose the data it was made for, or another teacher)")


def check_grade(access: Access) -> None:
    """Check that no more than labels is wanted of a teacher that tells no more.

    Raises:
        BadInput: it is.
    """
    if access != "labels":
        raise BadInput(
            f"The teacher answers with labels alone, but its {access} are asked for; set the run's access to 'labels', "
            "or choose a teacher that tells them."
        )
