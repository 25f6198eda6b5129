"""What a teacher grants: the grades of access, and what each shows."""

from __future__ import annotations

from typing import Literal

Grant = Literal["labels", "probabilities", "logits", "features", "blocks", "gradients"]
Access = Literal["white_box", "logits", "probabilities", "labels"]
GRANTS: dict[Access, frozenset[Grant]] = {
    "white_box": frozenset({"labels", "probabilities", "logits", "features", "blocks", "gradients"}),
    "logits": frozenset({"labels", "probabilities", "logits"}),
    "probabilities": frozenset({"labels", "probabilities"}),
    "labels": frozenset({"labels"}),
}
