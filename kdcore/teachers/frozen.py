"""A trained network as a teacher: it answers, never learns, and shows no more than its access grants."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from kdcore.contracts import Access, Outputs
from kdcore.errors import BadInput
from kdcore.net import Net

CACHE_BYTES = 1 << 30  # answers kept for a whole split, at most


def load_weights(net: Net, path: Path) -> Net:
    """Fill `net` from a safetensors file, in eval mode and without gradients.

    Raises:
        BadInput: the file is absent or damaged, or belongs to another network.
    """
    try:
        net.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise BadInput(f"The weights in {path} cannot be used ({reason}); train that run again.") from error
    return net.eval().requires_grad_(False)


def granted(outputs: Outputs, access: Access) -> Outputs:
    """What is left of an answer behind a grade of access.

    Probabilities come back as their logarithm, which is the logits up to a constant per row; labels as one-hot rows.
    """
    if access == "white_box":
        return outputs
    logits = outputs.logits
    if access == "probabilities":
        logits = logits.log_softmax(1)
    elif access == "labels":
        logits = F.one_hot(logits.argmax(1), logits.shape[1]).float()
    return Outputs(logits, ())


class FrozenTeacher:
    """Answers for batches of normalised inputs.

    Args:
        net: the trained network.
        access: what it grants.
        features: whether the method reads stage features; without them only logits are kept.
    """

    def __init__(self, net: Net, access: Access, features: bool) -> None:
        self.net, self.access, self.features = net.eval().requires_grad_(False), access, features
        self.kept: Outputs | None = None

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Outputs:
        """The answer to inputs x (B, ...)."""
        outputs = granted(self.net(x), self.access)
        return Outputs(outputs.logits.float(), outputs.features if self.features else ())

    def keep(self, batches: list[Tensor], rows: int) -> None:
        """Answer for a whole split once, in row order, where all answers fit into CACHE_BYTES."""
        sample = self(batches[0][:2])
        row_bytes = sum(part[0].numel() * part.element_size() for part in (sample.logits, *sample.features))
        if row_bytes * rows <= CACHE_BYTES:
            answers = [self(batch) for batch in batches]
            features = zip(*(answer.features for answer in answers), strict=True)
            self.kept = Outputs(
                torch.cat([answer.logits for answer in answers]), tuple(torch.cat(stage) for stage in features)
            )

    def recall(self, index: Tensor) -> Outputs:
        """The kept answer for rows `index` (B,)."""
        assert self.kept is not None, "keep() has kept nothing"
        return Outputs(self.kept.logits[index], tuple(stage[index] for stage in self.kept.features))
