r"""TopKD: the teacher's largest logits are amplified, and the student's logits follow the direction of the result.

The scaled logits are $z'_c = w_c\,z_{t,c} + D$ for the $K$ largest and for the true class, and $z_{t,c}$ for all
others. Here $w$ falls with the rank from $1 + \mathrm{boost}$ to $1 + \mathrm{boost}/K$, and is $1 + \mathrm{boost}$
for the true class; $D$ is `shift` times the mean of the $K$ largest minus the mean of the others. The loss is label
weight $\lambda$ times $\mathrm{CE}(z_s, y)$ plus $1 - \cos(z_s^g, z'^g)$ over three groups $g$ of classes: weighted by
$\alpha$ on the $K$ largest with $z'$ above 0, by $\beta$ on the $K$ smallest with $z'$ below 0, and by 1 on all others.
The contrast weight $\gamma$ multiplies InfoNCE in both directions, halved: a row's logits must be closer to the
teacher's of that row than of any other. Keep $K$ (`top`) small: it selects what to amplify, and with $K$ near half of
the classes it selects nothing any more.

Source: Wang and Zhou, TopKD: Top-scaled Knowledge Distillation, 2025, arXiv 2508.04539, according to secondary sources;
best at $K$ 3, 5 or 10 of 100 classes, while $K = 50$ collapses. Another method of this name, from 2024, is topological.

Departs from it: the scaling by rank, the shift, the weights and the temperature are not published where we could read
them. Ours are boost .5, shift .1, $\alpha$, $\beta$ and contrast 1, temperature .1, and true labels at weight 1; so is
the cosine in the contrast, where the paper takes the plain product. Each $1 - \cos$ counts only where its group has a
member, so the minimum of the term is 0; that shifts its value, not its gradient. On unlabelled rows the teacher's
prediction replaces $y$.

Zero when: on each group of classes the student's logits are a positive multiple of $z'$ (the term "direction"); the
term "contrast" is 0 for a batch of one row only.
"""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from kdcore.contracts.access import Grant
from kdcore.contracts.method import Batch, Method, Term
from kdcore.nn.losses import cross_entropy, info_nce, one_hot, unit, wrong


def ranks(logits: Tensor) -> Tensor:
    """Each class's place (B, C) in its row of logits, 0 for the largest."""
    return logits.argsort(dim=1, descending=True, stable=True).argsort(dim=1)


def top_scaled(teacher_logits: Tensor, targets: Tensor, top: int, boost: float, shift: float) -> Tensor:
    """The scaled logits z' (B, C), float32.

    Args:
        teacher_logits: (B, C).
        targets: (B,) int64, in [0, C).
        top: K, cut to C.
        boost: by how much the largest logit is amplified.
        shift: the added gap, as a share of the gap between the K largest and the others.
    """
    logits, count = teacher_logits.float(), min(top, teacher_logits.shape[1])
    rank = ranks(logits)
    chosen, is_target = rank < count, one_hot(targets, logits.shape[1])
    others = max(1, logits.shape[1] - count)
    gap = (logits * chosen).sum(1) / count - (logits * ~chosen).sum(1) / others
    gain = 1 + boost * ((count - rank) / count).masked_fill(is_target, 1.0)
    whole = count == logits.shape[1]  # there are no others, and no gap to them
    scaled = gain * logits + (0.0 if whole else shift) * gap[:, None]
    return scaled.where(chosen | is_target, logits)


def direction_loss(student_logits: Tensor, target_logits: Tensor, top: int, alpha: float, beta: float) -> Tensor:
    """Weighted sum of 1 - cos over the three groups of classes that the target logits (B, C) part, over the batch."""
    positive = (ranks(target_logits) < top) & (target_logits > 0)
    negative = (ranks(-target_logits) < top) & (target_logits < 0)
    loss = student_logits.new_zeros((), dtype=torch.float32)
    for weight, group in ((alpha, positive), (beta, negative), (1.0, ~(positive | negative))):
        cosine = (unit(student_logits.float() * group) * unit(target_logits * group)).sum(1)
        loss = loss + weight * ((1 - cosine) * group.any(1)).mean()
    return loss


class TopKD(Method):
    """Distillation of the direction of amplified logits."""

    title: ClassVar[str] = "TopKD"
    family: ClassVar[str] = "logits"
    equation: ClassVar[str] = (
        r"\mathcal{L} = \lambda\,\mathrm{CE}(z_s, y) + \sum_{g\in\{+,-,\mathrm{rest}\}} \omega_g\big(1 -"
        r" \cos(z_s^g, z'^g)\big) + \tfrac{\gamma}{2}\big(\mathrm{NCE}(Z_s, Z_t) + \mathrm{NCE}(Z_t, Z_s)\big),"
        r"\quad \omega_+ = \alpha,\ \omega_- = \beta,\ \omega_{\mathrm{rest}} = 1"
    )
    symbols: ClassVar[dict[str, str]] = {
        "label_weight": r"\lambda",
        "alpha": r"\alpha",
        "beta": r"\beta",
        "contrast_weight": r"\gamma",
    }
    paper: ClassVar[str] = "Wang and Zhou, arXiv 2025"
    needs: ClassVar[frozenset[Grant]] = frozenset({"logits"})
    rate: ClassVar[float] = 0.5
    top: int = Field(5, ge=1, le=512, description="Logits that are amplified; well below the number of classes.")
    boost: float = Field(0.5, ge=0.0, le=10.0, description="By how much the largest logit is amplified.")
    shift: float = Field(0.1, ge=0.0, le=10.0, description="Added gap between the amplified logits and the others.")
    temperature: float = Field(0.1, ge=0.01, le=10.0, description="Divides the cosines of the contrast.")
    label_weight: float = Field(1.0, ge=0.0, le=100.0, description="Weight of the true labels.")
    alpha: float = Field(1.0, ge=0.0, le=100.0, description="Weight of the largest logits above 0.")
    beta: float = Field(1.0, ge=0.0, le=100.0, description="Weight of the smallest logits below 0.")
    contrast_weight: float = Field(1.0, ge=0.0, le=100.0, description="Weight of the contrastive loss.")

    def _scaled(self, batch: Batch) -> Tensor:
        assert batch.teacher is not None
        return top_scaled(batch.teacher.logits, batch.targets, self.top, self.boost, self.shift)

    def terms(self, batch: Batch, state: nn.Module | None) -> dict[str, Term]:
        """Labels, direction and contrast."""
        assert batch.teacher is not None
        student, teacher = batch.student.logits, batch.teacher.logits
        contrast = info_nce(student, teacher, self.temperature) + info_nce(teacher, student, self.temperature)
        return {
            "labels": Term(self.label_weight, cross_entropy(student, batch.labels)),
            "direction": Term(1.0, direction_loss(student, self._scaled(batch), self.top, self.alpha, self.beta)),
            "contrast": Term(self.contrast_weight, contrast / 2),
        }

    def metrics(self, batch: Batch, state: nn.Module | None) -> dict[str, Tensor]:
        """How often the scaling changes the teacher's choice."""
        assert batch.teacher is not None
        return {"teacher_repaired": wrong(self._scaled(batch), batch.teacher.logits.argmax(1)).float().mean()}

    def arrays(self, batch: Batch, state: nn.Module | None) -> dict[str, Tensor]:
        """The scaled logits as probabilities."""
        return {"target": self._scaled(batch).softmax(1)}
