r"""Binary distillation: each class is a yes-or-no question of its own, and the student matches the teacher's answers.

With $s(z)$ the sigmoid, teacher and student assign class $c$ the probabilities $s(z_{t,c})$ and $s(z_{s,c})$. The loss
is label weight $\lambda$ times $\mathrm{CE}(z_s, y)$ plus KD weight $\alpha$ times the sum over classes of the KL
divergence of these two Bernoulli distributions $\mathrm{B}$. Where a softmax only compares classes, this also measures
how much evidence there is for each, so several objects in one picture can all be detected.

Source: Yang, Xie, Zong, Feng, Niu, Sugiyama and Huang, Multi-Label Knowledge Distillation, ICCV 2023, arXiv 2308.06453,
its logit part; weight 10 as in the released code.

Departs from it: the released code clamps probabilities between 1e-8 and 1 - 1e-8, which single precision rounds to 1,
so that a logit above 17 gives NaN; there is no clamp here. The paper's other two parts compare embeddings per label,
class-aware (weight 100) and instance-aware (weight 1000); they need a network with one embedding per label and are left
out. Its pictures have several labels and its networks learn by binary losses and Adam, which is insensitive to the
scale of a loss; here a row has one label, cross-entropy reads it, and with SGD a weight of 10 on a sum over classes can
be too large a step: a lower learning rate or a weight of 1 fixes it. A teacher trained by cross-entropy has logits with
an arbitrary shift per row, which sigmoids are sensitive to.

Zero when: the student's logits equal the teacher's (the term "kd").
"""

from typing import ClassVar

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from kdcore.contracts.access import Grant
from kdcore.contracts.method import Batch, Method, Term
from kdcore.nn.losses import cross_entropy


def coin_kl(student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """KL of Bernoulli variables in nats with log-odds (B, C), summed over classes, averaged over the batch."""
    student, teacher = student_logits.float(), teacher_logits.float()
    sides = (
        F.logsigmoid(sign * teacher).exp() * (F.logsigmoid(sign * teacher) - F.logsigmoid(sign * student))
        for sign in (1, -1)
    )
    yes, no = sides
    return (yes + no).sum() / len(student)


class L2D(Method):
    """Distillation of one coin per class."""

    title: ClassVar[str] = "Binary logit distillation"
    family: ClassVar[str] = "logits"
    equation: ClassVar[str] = (
        r"\mathcal{L} = \lambda\,\mathrm{CE}(z_s, y) + \alpha\sum_c \mathrm{KL}\big(\mathrm{B}(s(z_{t,c}))\,\|\,"
        r"\mathrm{B}(s(z_{s,c}))\big)"
    )
    symbols: ClassVar[dict[str, str]] = {"label_weight": r"\lambda", "kd_weight": r"\alpha"}
    paper: ClassVar[str] = "Yang, Xie, Zong, Feng, Niu, Sugiyama and Huang, ICCV 2023"
    needs: ClassVar[frozenset[Grant]] = frozenset({"logits"})
    rate: ClassVar[float] = 0.25
    label_weight: float = Field(1.0, ge=0.0, le=100.0, description="Weight of the true labels.")
    kd_weight: float = Field(
        10.0,
        ge=0.0,
        le=100.0,
        description="Weight of the teacher's probabilities; chosen with Adam, use less with SGD.",
    )

    def terms(self, batch: Batch, state: nn.Module | None) -> dict[str, Term]:
        """Labels and coins."""
        assert batch.teacher is not None
        logits = batch.student.logits
        return {
            "labels": Term(self.label_weight, cross_entropy(logits, batch.labels)),
            "kd": Term(self.kd_weight, coin_kl(logits, batch.teacher.logits)),
        }
