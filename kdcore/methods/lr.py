r"""Label revision: where the teacher is right its logits are copied, where it is wrong its probabilities are revised.

Let $p$ and $q$ be the softmax of the teacher's and the student's logits. On the rows whose teacher is right, the loss
is label weight $\lambda$ times $\mathrm{CE}(z_s, y)$ plus logit weight $\alpha$ times the mean of $(z_s - z_t)^2$. On
the others it is revision weight $\beta$ times the mean of $(q - p')^2$, with $p' = b\,p + (1 - b)\,\mathbf{1}_y$, where
$\mathbf{1}_y$ is the one-hot label, and $b = \eta/(1 + \max p - p_y)$. In $p'$ the true class leads by exactly $1 -
\eta$. Each mean is over its own rows and all classes.

Source: a comparison method in the released code of Sun, Chen, Lyu, Chen, Chen and Wang, Knowledge Distillation with
Refined Logits, ICCV 2025, arXiv 2408.07703; weights 1, 4 and 1 and $\eta$ .8.

Departs from it: none; an unlabelled row counts as one whose teacher is right, without its label.

Zero when: the student's logits equal the teacher's where that is right (the term "logits"), and its probabilities the
revised ones where it is wrong (the term "revision").
"""

from typing import ClassVar

from pydantic import Field
from torch import Tensor, nn

from kdcore.contracts.access import Grant
from kdcore.contracts.method import Batch, Method, Term
from kdcore.nn.losses import calibrated, cross_entropy, log_probs, wrong


def mean_square(a: Tensor, b: Tensor, rows: Tensor) -> Tensor:
    """Mean of (a - b)^2 over all elements of some `rows`, (B,) bool; 0 where there is none. a and b are (B, C)."""
    square = (a.float() - b.float()).square().mean(1)
    return square.masked_fill(~rows, 0.0).sum() / rows.sum().clamp(min=1)


def revised(teacher_logits: Tensor, targets: Tensor, eta: float) -> Tensor:
    """The teacher's probabilities (B, C), revised where it is wrong, of logits (B, C) and targets (B,)."""
    return calibrated(log_probs(teacher_logits), targets, eta).exp()


class LR(Method):
    """Regression on a teacher whose wrong answers are revised."""

    title: ClassVar[str] = "Label revision"
    family: ClassVar[str] = "repair"
    equation: ClassVar[str] = (
        r"\mathcal{L} = \begin{cases}\lambda\,\mathrm{CE}(z_s, y) + \frac{\alpha}{C}\,\|z_s - z_t\|_2^2"
        r" & \text{teacher right}\\ \frac{\beta}{C}\,\|q - b\,p - (1 - b)\,\mathbf{1}_y\|_2^2 & \text{wrong}\end{cases}"
        r" \quad b = \frac{\eta}{1 + \max p - p_y}"
    )
    symbols: ClassVar[dict[str, str]] = {
        "label_weight": r"\lambda",
        "logit_weight": r"\alpha",
        "revision_weight": r"\beta",
        "eta": r"\eta",
    }
    paper: ClassVar[str] = "Sun, Chen, Lyu, Chen, Chen and Wang, ICCV 2025 (a comparison method)"
    needs: ClassVar[frozenset[Grant]] = frozenset({"logits"})
    rate: ClassVar[float] = 0.5
    label_weight: float = Field(1.0, ge=0.0, le=100.0, description="Weight of true labels where the teacher is right.")
    logit_weight: float = Field(4.0, ge=0.0, le=100.0, description="Weight of its logits where the teacher is right.")
    revision_weight: float = Field(1.0, ge=0.0, le=100.0, description="Weight of revised probabilities elsewhere.")
    eta: float = Field(0.8, ge=0.01, le=1.0, description="The revised true class leads by 1 less this.")

    def terms(self, batch: Batch, state: nn.Module | None) -> dict[str, Term]:
        """Labels and logits where the teacher is right, revised probabilities where it is wrong."""
        assert batch.teacher is not None
        student, teacher = batch.student.logits, batch.teacher.logits
        off = wrong(teacher, batch.targets)
        revision = mean_square(log_probs(student).exp(), revised(teacher, batch.targets, self.eta), off)
        return {
            "labels": Term(self.label_weight, cross_entropy(student, batch.labels.masked_fill(off, -1))),
            "logits": Term(self.logit_weight, mean_square(student, teacher, ~off)),
            "revision": Term(self.revision_weight, revision),
        }

    def metrics(self, batch: Batch, state: nn.Module | None) -> dict[str, Tensor]:
        """Share of rows that are revised."""
        assert batch.teacher is not None
        return {"teacher_repaired": wrong(batch.teacher.logits, batch.targets).float().mean()}

    def arrays(self, batch: Batch, state: nn.Module | None) -> dict[str, Tensor]:
        """The teacher's probabilities after revision."""
        assert batch.teacher is not None
        return {"target": revised(batch.teacher.logits, batch.targets, self.eta)}
