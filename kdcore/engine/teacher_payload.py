"""Requests to a black-box teacher: their payload, its digests and its size in bytes."""

from __future__ import annotations

from hashlib import blake2b

import torch
from torch import Tensor

from kdcore.contracts.access import Access
from kdcore.runs.ledger import DIGEST
from kdcore.spec.spec import Wall

LABEL_BYTES = 4  # of one label, and of the place of one of the top probabilities


def packed(sent: Tensor, wall: Wall) -> tuple[Tensor, list[bytes]]:
    """Values from 0 to 1, or features, as the wall has them sent, and the digest of the bytes of each row."""
    as_bytes = sent
    if wall.upload == "uint8" and sent.dim() == 4:
        whole = (sent * 255).round()
        sent, as_bytes = whole / 255, whole.to(torch.uint8)
    rows = as_bytes.reshape(len(as_bytes), -1).cpu().numpy()
    return sent, [blake2b(row.tobytes(), digest_size=DIGEST).digest() for row in rows]


def traffic(wall: Wall, access: Access, image: Tensor, classes: int) -> tuple[int, int]:
    """Bytes that one question and its answer take, as plain numbers without any protocol's own."""
    up = image.numel() * (1 if wall.upload == "uint8" else 4)
    if access == "labels":
        return up, LABEL_BYTES
    told = wall.top if access == "probabilities" and wall.top else 0
    return up, told * (4 + LABEL_BYTES) if 0 < told < classes else 4 * classes
