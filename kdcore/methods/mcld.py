r"""Contrastive logits: the student's logits of an image must be closer to the teacher's of that image than of others.

Let $\mathrm{NCE}(a, b)$ be InfoNCE: the mean over $i$ of $-\log \mathrm{softmax}_j(\cos(a_i, b_j)/\tau)$ at $j = i$,
with temperature $\tau$. Over the rows of the logits $Z$ of a batch it is taken in both directions, weighted by
$\alpha$; over their columns, the outputs of a whole batch for one class, it is weighted by $w\,\beta$, where $w$ rises
from 0 to 1 in the first part of the run. The cross-entropy has label weight $\lambda$. With the target mask on, rows of
the same class are not contrasted with one another.

Source: Wang and Zhou, Multi-perspective Contrastive Logit Distillation, 2024, arXiv 2411.10693, for the idea: instance,
sample and category as three perspectives, a target mask, a warm-up that adds the category later, no projector.

Departs from it: the exact formulas and every constant are not published where we could read them; this is our proposal.
Ours are the two directions as "instance" and "sample", the cosine, temperature .1, the weights 1, the linear warm-up
over half of the run, and the reading of the mask. On unlabelled rows the teacher's prediction replaces $y$.

Zero when: never, as a contrastive loss is at best small; a batch of one row makes the term "rows" 0.
"""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from kdcore.contracts.access import Grant
from kdcore.contracts.method import Batch, Method, Term
from kdcore.nn.losses import cross_entropy, info_nce, ramp


def same_class(targets: Tensor) -> Tensor:
    """Pairs (B, B) bool of two different rows with the same target (B,)."""
    rows = torch.arange(len(targets), device=targets.device)
    return (targets[:, None] == targets) & (rows[:, None] != rows)


def row_contrast(student_logits: Tensor, teacher_logits: Tensor, temperature: float, hidden: Tensor | None) -> Tensor:
    """InfoNCE of rows of logits (B, C) in both directions, added; pairs in `hidden` (B, B) are left out."""
    pair = student_logits, teacher_logits
    return info_nce(*pair, temperature, hidden) + info_nce(*pair[::-1], temperature, hidden)


class MCLD(Method):
    """Contrastive distillation of logits."""

    title: ClassVar[str] = "Contrastive logits (MCLD)"
    family: ClassVar[str] = "logits"
    equation: ClassVar[str] = (
        r"\mathcal{L} = \lambda\,\mathrm{CE}(z_s, y) + \alpha\,\big(\mathrm{NCE}(Z_s, Z_t)"
        r" + \mathrm{NCE}(Z_t, Z_s)\big) + w\,\beta\,\mathrm{NCE}(Z_s^\top, Z_t^\top)"
    )
    symbols: ClassVar[dict[str, str]] = {"label_weight": r"\lambda", "alpha": r"\alpha", "beta": r"\beta"}
    paper: ClassVar[str] = "Wang and Zhou, arXiv 2024"
    needs: ClassVar[frozenset[Grant]] = frozenset({"logits"})
    temperature: float = Field(
        0.1, ge=0.01, le=10.0, description="Divides the cosines; small values focus on the nearest rows."
    )
    label_weight: float = Field(1.0, ge=0.0, le=100.0, description="Weight of the true labels.")
    alpha: float = Field(1.0, ge=0.0, le=100.0, description="Weight of the contrast of samples.")
    beta: float = Field(1.0, ge=0.0, le=100.0, description="Weight of the contrast of classes.")
    warmup: float = Field(
        0.5, ge=0.0, le=1.0, description="Share of the run in which the contrast of classes fades in."
    )
    target_mask: bool = Field(True, description="Leave out pairs of samples of the same class.")

    def terms(self, batch: Batch, state: nn.Module | None) -> dict[str, Term]:
        """Labels, rows and columns."""
        assert batch.teacher is not None
        student, teacher = batch.student.logits, batch.teacher.logits
        hidden = same_class(batch.targets) if self.target_mask else None
        return {
            "labels": Term(self.label_weight, cross_entropy(student, batch.labels)),
            "rows": Term(self.alpha, row_contrast(student, teacher, self.temperature, hidden)),
            "classes": Term(
                self.beta * ramp(batch.progress, self.warmup), info_nce(student.T, teacher.T, self.temperature)
            ),
        }
