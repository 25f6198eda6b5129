"""What one image is asked about: a row of the case, or pixels that a person drew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kdcore.comparison.tasks.pair import ComparedModel, ComparedPair
from kdcore.errors import BadInput

Asked = Mapping[str, Any]
BYTE = 255


def image(pair: ComparedPair, asked: Asked) -> Tensor:
    """Return the image (1, ...), raw, of {"row"} or {"pixels"}.

    Raises:
        BadInput: there is no such row, or the pixels are no image of these data.
    """
    return pair.row(int(asked["row"])) if asked.get("pixels") is None else drawn(pair.shape, asked["pixels"])


def drawn(shape: tuple[int, ...], pixels: Any) -> Tensor:
    """Return what a person drew (1, ...): whole numbers from 0 to 255, or for points any finite numbers.

    Raises:
        BadInput: it is something else.
    """
    wanted = " x ".join(map(str, shape)) + (" whole numbers from 0 to 255" if len(shape) == 3 else " numbers")
    try:
        found = np.array(pixels, dtype=np.float64)
    except (TypeError, ValueError):
        raise BadInput(f"An input here is {wanted}, but got something else; draw it again.") from None
    if found.shape != shape:
        raise BadInput(f"An input here is {wanted}, but got the shape {found.shape}; draw it again.")
    if not np.isfinite(found).all():
        raise BadInput(f"An input here is {wanted}, but some are not finite; draw it again.")
    if len(shape) != 3:
        return torch.from_numpy(found[None].astype(np.float32))
    if found.min() < 0 or found.max() > BYTE or (found != np.round(found)).any():
        raise BadInput(f"An input here is {wanted}, but got numbers such as {_odd(found):g}; draw it again.")
    return torch.from_numpy(found[None].astype(np.uint8))


def _odd(found: np.ndarray) -> float:
    return float(found[(found < 0) | (found > BYTE) | (found != np.round(found))].flat[0])


def sides(pair: ComparedPair) -> dict[str, ComparedModel]:
    """Return the models by their names, the teacher first."""
    return ({"teacher": pair.teacher} if pair.teacher else {}) | {"student": pair.student}


def shown(x: Tensor) -> list[Any]:
    """One input (1, ...) as plain numbers: bytes where it is an image."""
    told: list[Any] = (x[0].round().clamp(0, BYTE).to(torch.uint8) if x.ndim == 4 else x[0].float()).tolist()
    return told


def class_of(pair: ComparedPair, asked: Asked) -> int:
    """Return the class {"of"} that is asked about.

    Raises:
        BadInput: there is none of that number.
    """
    place = int(asked["of"])
    if not 0 <= place < len(pair.classes):
        raise BadInput(f"Classes are numbered 0 to {len(pair.classes) - 1}, but got {place}; choose one of them.")
    return place
