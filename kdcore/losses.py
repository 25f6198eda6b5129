"""Parts that several losses share. All of them compute in float32 and never make the host wait for the device."""

import torch.nn.functional as F
from torch import Tensor


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy in nats over the labelled rows; 0 where no row is labelled.

    Args:
        logits: (B, C).
        labels: (B,) int64, -1 where unlabelled.
    """
    total = F.cross_entropy(logits.float(), labels, ignore_index=-1, reduction="sum")
    return total / (labels >= 0).sum().clamp(min=1)


def log_probs(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Log-probabilities (B, C) of logits (B, C) softened by `temperature`."""
    return F.log_softmax(logits.float() / temperature, dim=1)


def kl(teacher_log_probs: Tensor, student_log_probs: Tensor) -> Tensor:
    """KL(teacher || student) in nats of log-probabilities (B, C), summed over classes, averaged over the batch.

    Exactly 0 where both are equal. Cheaper than `F.kl_div`, which tracks more operations.
    """
    gap = teacher_log_probs - student_log_probs
    return (teacher_log_probs.exp() * gap).sum() / len(gap)
