r"""Plackett-Luce distillation: the student learns the teacher's ranking of the classes, with the true class put first.

Let $\pi$ be the classes in order: $y$ first, then the others by decreasing teacher logit. Classes are picked one by
one, each from those that remain, with the student's softmax. The loss is the sum over ranks $k$ of $\log\sum_{l \ge k}
e^{z_{s,\pi_l}} - z_{s,\pi_k}$, weighted by $\sigma(z_t/T)_{\pi_k}$, the teacher's probability of class $\pi_k$ at
temperature $T$. The first summand is cross-entropy weighted by the teacher's probability of $y$, so there is no other
term. `kd_weight`, 1 unless changed, multiplies the whole loss.

Source: Bassam, Zhu and Bian, PLD: A Choice-Theoretic List-Wise Knowledge Distillation, NeurIPS 2025, arXiv 2506.12542;
temperature 4 as for CIFAR-100.

Departs from it: the paper trains with AdamW, which is insensitive to the scale of a loss; here the schedule is the
run's. At $T = 4$ the true class has only a part of the weight, so SGD learns it more slowly than by cross-entropy: in a
run of few steps use $T = 1$, or raise `kd_weight`. On unlabelled rows the teacher's prediction replaces $y$.

Zero when: only in the limit, where the student's gap from each class to the next grows without bound. With a teacher
that is certain of $y$ it is cross-entropy.
"""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from kdcore.contracts.access import Grant
from kdcore.contracts.method import Batch, Method, Term
from kdcore.nn.losses import log_probs, one_hot, wrong


def ranking(teacher_logits: Tensor, targets: Tensor) -> Tensor:
    """Classes (B, C) in order: the target, then the others by falling teacher logit (B, C)."""
    is_target = one_hot(targets, teacher_logits.shape[1])
    return teacher_logits.float().masked_fill(is_target, torch.inf).argsort(dim=1, descending=True, stable=True)


def pld_loss(student_logits: Tensor, teacher_logits: Tensor, targets: Tensor, temperature: float) -> Tensor:
    """Weighted negative log-likelihood of the ranking in nats, averaged over the batch.

    Args:
        student_logits: (B, C).
        teacher_logits: (B, C), constant.
        targets: (B,) int64, in [0, C).
        temperature: T > 0 of the weights.
    """
    order = ranking(teacher_logits, targets)
    ranked = student_logits.float().gather(1, order)
    left = ranked.flip(1).logcumsumexp(1).flip(1)
    weights = log_probs(teacher_logits, temperature).exp().gather(1, order)
    return (weights * (left - ranked)).sum() / len(ranked)


class PLD(Method):
    """Distillation of a ranking."""

    title: ClassVar[str] = "Plackett-Luce distillation"
    family: ClassVar[str] = "logits"
    equation: ClassVar[str] = (
        r"\mathcal{L} = \sum_k \sigma(z_t/T)_{\pi_k}\Big(\log\sum_{l\ge k} e^{z_{s,\pi_l}} - z_{s,\pi_k}\Big)"
    )
    symbols: ClassVar[dict[str, str]] = {"temperature": "T"}
    paper: ClassVar[str] = "Bassam, Zhu and Bian, NeurIPS 2025"
    needs: ClassVar[frozenset[Grant]] = frozenset({"probabilities"})
    temperature: float = Field(
        4.0, ge=0.1, le=100.0, description="Softens the weights of the ranks; lower it for few steps."
    )
    kd_weight: float = Field(
        1.0, ge=0.0, le=100.0, description="Weight of the ranking; use more with SGD and few steps."
    )

    def terms(self, batch: Batch, state: nn.Module | None) -> dict[str, Term]:
        """The ranking."""
        assert batch.teacher is not None
        loss = pld_loss(batch.student.logits, batch.teacher.logits, batch.targets, self.temperature)
        return {"ranking": Term(self.kd_weight, loss)}

    def metrics(self, batch: Batch, state: nn.Module | None) -> dict[str, Tensor]:
        """How often the true class has to be moved to the front."""
        assert batch.teacher is not None
        return {"teacher_repaired": wrong(batch.teacher.logits, batch.targets).float().mean()}
