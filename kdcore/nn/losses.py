"""Parts that several losses share. All of them compute in float32 and never make the host wait for the device."""

import torch
import torch.nn.functional as F
from torch import Tensor

from kdcore.contracts.method import Batch


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


def halving(values: list[Tensor]) -> Tensor:
    """Return the sum of n values, the last with weight 1 and each before it with half the weight of its successor."""
    return torch.stack([value / 2**behind for behind, value in enumerate(reversed(values))]).sum()


STANDARDISE = "Compare logits after each row is standardised, as logit standardisation does."


def standardised(logits: Tensor) -> Tensor:
    """Rows of logits (B, C) with mean 0 and (unbiased) standard deviation 1, float32.

    Source: Sun et al., Logit Standardization in Knowledge Distillation, CVPR 2024, arXiv 2403.01427.
    """
    centred = logits.float() - logits.float().mean(1, keepdim=True)
    return centred / (centred.std(1, keepdim=True) + 1e-7)


def compared(batch: Batch, standardise: bool = False) -> tuple[Tensor, Tensor]:
    """Return the student's and the teacher's logits (B, C) as a loss compares them: raw, or each row standardised.

    With `standardise` any loss of logits becomes blind to their shift and scale.
    """
    assert batch.teacher is not None
    pair = batch.student.logits.float(), batch.teacher.logits.float()
    return (standardised(pair[0]), standardised(pair[1])) if standardise else pair


def kl(teacher_log_probs: Tensor, student_log_probs: Tensor) -> Tensor:
    """KL(teacher || student) in nats of log-probabilities (B, C), summed over classes, averaged over the batch.

    Exactly 0 where both are equal. Cheaper than `F.kl_div`, which tracks more operations.
    """
    gap = teacher_log_probs - student_log_probs
    return (teacher_log_probs.exp() * gap).sum() / len(gap)


def kl_rows(teacher_log_probs: Tensor, student_log_probs: Tensor) -> Tensor:
    """KL(teacher || student) in nats of each row (B,), for log-probabilities (B, C)."""
    return (teacher_log_probs.exp() * (teacher_log_probs - student_log_probs)).sum(1)


def ramp(progress: float, warmup: float) -> float:
    """Return a weight that rises from 0 to 1 in the first `warmup` share of the run."""
    return min(1.0, progress / warmup) if warmup else 1.0


def kd_loss(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """T^2 KL(teacher || student) in nats at temperature T.

    Args:
        student_logits: (B, C).
        teacher_logits: (B, C), constant.
        temperature: T > 0.
    """
    divergence = kl(log_probs(teacher_logits, temperature), log_probs(student_logits, temperature))
    return divergence * temperature**2


def soft_cross_entropy(student_logits: Tensor, target: Tensor) -> Tensor:
    """Mean over rows of -sum(target * log q), for logits and target probabilities (B, C)."""
    return -(target.float() * log_probs(student_logits)).sum() / len(target)


def weighted_kl(teacher_logits: Tensor, student_logits: Tensor, weight: Tensor | float) -> Tensor:
    """Mean over rows of `weight`, (B,) or one number, times KL(teacher || student) in nats, of logits (B, C).

    Each temperature and each normalisation is something done to the logits before, and a weight.
    """
    return (weight * kl_rows(log_probs(teacher_logits), log_probs(student_logits))).mean()


def wrong(logits: Tensor, targets: Tensor) -> Tensor:
    """Whether each row of logits (B, C) is largest at another class than targets (B,) say; (B,) bool."""
    return logits.argmax(1) != targets


def swap(logits: Tensor, targets: Tensor) -> Tensor:
    """Logits (B, C) where the largest of each row has changed places with that of targets (B,); gradients follow.

    Source: Limantoro et al., Swapped Logit Distillation via Bi-level Teacher Alignment, 2025, arXiv 2504.20108.
    """
    top, target = logits.argmax(1, keepdim=True), targets[:, None]
    moved = logits.scatter(1, top, logits.gather(1, target))
    return moved.scatter(1, target, logits.gather(1, top))


def calibrated(log_p: Tensor, targets: Tensor, alpha: float) -> Tensor:
    """Log-probabilities (B, C) that put targets (B,) ahead by exactly 1 - alpha where another class k was largest.

    There the probabilities are scaled by s = alpha / (1 + p[k] - p[y]), and y is given the 1 - s that is left.

    Source: Yang, Wu and Yang, LoCa: Logit Calibration for Knowledge Distillation, ECAI 2024, arXiv 2409.04778.
    """
    p, target = log_p.exp(), targets[:, None]
    p_y = p.gather(1, target)
    s = alpha / (1 + p.amax(1, keepdim=True) - p_y)
    repaired = (log_p + s.log()).scatter(1, target, (s * p_y + (1 - s)).log())
    return repaired.where(wrong(log_p, targets)[:, None], log_p)


def one_hot(targets: Tensor, classes: int) -> Tensor:
    """(B, C) bool, True at targets (B,)."""
    return targets[:, None] == torch.arange(classes, device=targets.device)


def without(log_p: Tensor, left_out: Tensor) -> Tensor:
    """Log-probabilities (B, C) of some classes among themselves; 0 at those `left_out`, (B, C) bool."""
    kept = log_p.masked_fill(left_out, -torch.inf)
    return (kept - kept.logsumexp(1, keepdim=True)).masked_fill(left_out, 0.0)


def target_or_not(log_p: Tensor, is_target: Tensor) -> Tensor:
    """Log-probabilities (B, 2) of the target and of all else, of log_p (B, C); is_target (B, C) is True once a row."""
    rest = log_p.masked_fill(is_target, -torch.inf).logsumexp(1)
    return torch.stack((log_p.masked_fill(~is_target, 0.0).sum(1), rest), dim=1)


def scale_gradient(value: Tensor, factor: float) -> Tensor:
    """Return the value itself; its gradient is multiplied by `factor`, and with -1 reversed."""
    return value.detach() + factor * (value - value.detach())


def unit(rows: Tensor, least: float = 1e-4) -> Tensor:
    """Rows (N, K) at length 1, float32; those shorter than `least` are divided by it, so that none pulls hard."""
    length: Tensor = torch.linalg.vector_norm(rows.float(), dim=1, keepdim=True)
    return rows.float() / length.clamp(min=least)


def info_nce(queries: Tensor, keys: Tensor, temperature: float, hidden: Tensor | None = None) -> Tensor:
    """Mean of -log softmax, at a query's own key, of its cosines with all keys over `temperature`.

    Args:
        queries, keys: (N, K); row i of one belongs to row i of the other.
        temperature: > 0.
        hidden: (N, N) bool, keys that a query is not compared with; never its own.
    """
    likeness = unit(queries) @ unit(keys).T / temperature
    if hidden is not None:
        likeness = likeness.masked_fill(hidden, -torch.inf)
    return (likeness.logsumexp(1) - likeness.diagonal()).mean()


def class_means(values: Tensor, targets: Tensor, classes: int) -> Tensor:
    """Return the mean (C, K) of each class, 0 for a class without rows, of values (N, K) whose targets are (N,)."""
    members = one_hot(targets, classes).to(values.dtype)
    return members.T @ values / members.sum(0).clamp(min=1)[:, None]
