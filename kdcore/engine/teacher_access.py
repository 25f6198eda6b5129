"""What a teacher's access level and its black-box API leave of its outputs."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from kdcore.contracts.access import Access
from kdcore.contracts.outputs import Outputs
from kdcore.spec.spec import Wall


def granted(outputs: Outputs, access: Access) -> Outputs:
    """Return what is left of an answer behind a grade of access.

    Probabilities come back as their logarithm, minus its mean over classes, which is the logits up to a constant per
    row; labels as one-hot rows.
    """
    if access == "white_box":
        return outputs
    logits = outputs.logits.float()
    if access == "probabilities":
        logits = logits - logits.mean(1, keepdim=True)
    elif access == "labels":
        logits = F.one_hot(logits.argmax(1), logits.shape[1]).float()
    return Outputs(logits, ())


def worsened(logits: Tensor, wall: Wall, generator: torch.Generator) -> Tensor:
    """Centred log-probabilities (B, C) of an interface that adds noise, tells only the top, or rounds.

    Noise is Gaussian on the probabilities. What is not told is shared evenly among the other classes, and what is
    rounded to nothing counts as half of the last digit.

    Args:
        logits: (B, C), up to a constant per row.
        wall: how it worsens its answers.
        generator: on the CPU, the only source of chance.
    """
    p = logits.float().softmax(1)
    if wall.noise:
        p = (p + wall.noise * torch.randn(p.shape, generator=generator).to(p.device)).clamp(min=0.0)
        p = p / p.sum(1, keepdim=True).clamp(min=1e-12)
    classes = p.shape[1]
    if 0 < wall.top < classes:
        told, place = p.topk(wall.top, dim=1)
        rest = ((1 - told.sum(1, keepdim=True)) / (classes - wall.top)).clamp(min=0.0)
        p = rest.expand_as(p).scatter(1, place, told)
    least = 1e-8
    if wall.digits:
        p, least = (p * 10**wall.digits).round() / 10**wall.digits, 0.5 * 10**-wall.digits
    log_p = p.clamp(min=least).log()
    return log_p - log_p.mean(1, keepdim=True)
