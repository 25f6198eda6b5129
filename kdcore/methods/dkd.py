r"""Decoupled distillation: the teacher's information on the target class and on all others is weighted separately.

At temperature $T$ let $b = (p_y, 1 - p_y)$ be the probabilities of the target class and of the rest, and $r$ the
softmax over the classes other than $y$, each for teacher $t$ and student $s$. The weights are $\lambda$ for the labels
(label weight), $\alpha$ for the target-class term $T^2\,\mathrm{KL}(b_t\,\|\,b_s)$ and $\beta$ for the other classes'
term $T^2\,\mathrm{KL}(r_t\,\|\,r_s)$; $w$ rises from 0 to 1 in the first part of the run. Plain distillation is $\alpha
= 1$ with $1 - p_{t,y}$ in place of $\beta$, so it suppresses the other classes exactly where the teacher is confident.

Source: Zhao, Cui, Song, Qiu and Liang, Decoupled Knowledge Distillation, CVPR 2022, arXiv 2203.08679; $\alpha$ 1,
$\beta$ 8 and $T$ 4 as for ResNet32x4 to ResNet8x4, and a warm-up of 20 of 240 epochs.

Departs from it: the warm-up rises with every step from 0, theirs with every epoch from 1/20; the classes are separated
exactly, theirs by a large negative constant; on unlabelled rows the teacher's prediction replaces $y$.

Zero when: the teacher's and the student's logits of each row differ by a constant (the terms "tckd" and "nckd").
"""

from typing import ClassVar

from pydantic import Field
from torch import Tensor, nn

from kdcore.contracts.access import Grant
from kdcore.contracts.method import Batch, Method, Term
from kdcore.nn.losses import (
    STANDARDISE,
    compared,
    cross_entropy,
    kl,
    log_probs,
    one_hot,
    ramp,
    target_or_not,
    without,
)


def decoupled(log_p: Tensor, is_target: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probabilities of target or not (B, 2), and of the other classes among themselves (B, C), 0 at the target.

    Args:
        log_p: (B, C) log-probabilities.
        is_target: (B, C) bool, one True in each row.
    """
    return target_or_not(log_p, is_target), without(log_p, is_target)


def dkd_losses(
    student_logits: Tensor, teacher_logits: Tensor, targets: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    """Target-class and non-target-class divergence in nats, each times T^2.

    Args:
        student_logits: (B, C).
        teacher_logits: (B, C), constant.
        targets: (B,) int64, in [0, C).
        temperature: T > 0.
    """
    is_target = one_hot(targets, student_logits.shape[1])
    teacher = decoupled(log_probs(teacher_logits, temperature), is_target)
    student = decoupled(log_probs(student_logits, temperature), is_target)
    tckd, nckd = (kl(ours, theirs) * temperature**2 for ours, theirs in zip(teacher, student, strict=True))
    return tckd, nckd


class DKD(Method):
    """Distillation with its two halves set free."""

    title: ClassVar[str] = "Decoupled KD"
    family: ClassVar[str] = "logits"
    equation: ClassVar[str] = (
        r"\mathcal{L} = \lambda\,\mathrm{CE}(z_s, y) + w\,T^2\big(\alpha\,\mathrm{KL}(b_t\,\|\,b_s)"
        r" + \beta\,\mathrm{KL}(r_t\,\|\,r_s)\big)"
    )
    symbols: ClassVar[dict[str, str]] = {
        "temperature": "T",
        "label_weight": r"\lambda",
        "alpha": r"\alpha",
        "beta": r"\beta",
    }
    paper: ClassVar[str] = "Zhao, Cui, Song, Qiu and Liang, CVPR 2022"
    needs: ClassVar[frozenset[Grant]] = frozenset({"probabilities"})
    temperature: float = Field(4.0, ge=0.1, le=100.0, description="Softens both distributions; 1 = no softening.")
    label_weight: float = Field(1.0, ge=0.0, le=100.0, description="Weight of the true labels.")
    alpha: float = Field(1.0, ge=0.0, le=100.0, description="Weight of the target class's share.")
    beta: float = Field(8.0, ge=0.0, le=100.0, description="Weight of the other classes among themselves.")
    warmup: float = Field(0.083, ge=0.0, le=1.0, description="Share of the run in which distillation fades in.")
    standardise: bool = Field(False, description=STANDARDISE)

    def terms(self, batch: Batch, state: nn.Module | None) -> dict[str, Term]:
        """Labels, target-class and non-target-class divergence."""
        tckd, nckd = dkd_losses(*compared(batch, self.standardise), batch.targets, self.temperature)
        rise = ramp(batch.progress, self.warmup)
        return {
            "labels": Term(self.label_weight, cross_entropy(batch.student.logits, batch.labels)),
            "tckd": Term(rise * self.alpha, tckd),
            "nckd": Term(rise * self.beta, nckd),
        }
