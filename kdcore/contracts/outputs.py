"""What a network says about a batch. No torch is imported here: the types only name it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor


class Outputs(NamedTuple):
    """What a network says about a batch."""

    logits: Tensor  # (B, C)
    features: tuple[Tensor, ...]  # per stage (B, K, H, W) or (B, K)
