r"""Mimic: the student regresses the teacher's logits, with all classes weighted equally and no softmax.

The loss is label weight $\lambda$ times $\mathrm{CE}(z_s, y)$ plus logit weight $\alpha$ times the mean over rows and
classes of $(z_s - z_t)^2$, with $z_s$ and $z_t$ the logits of student and teacher. A softmax discards a constant in
each row and nearly discards small probabilities; this loss keeps both. It is the limit of plain distillation at high
temperature, apart from that constant.

Source: Ba and Caruana, Do Deep Nets Really Need to be Deep?, NeurIPS 2014, arXiv 1312.6184, equation 1.

Departs from it: the mean over classes, as in the baseline "ml" of MEKD's published code, replaces half the sum, so that
one weight suits any number of classes; true labels may be added, which the paper leaves out.

Zero when: the student's logits equal the teacher's (the term "logits").
"""

from typing import ClassVar

from pydantic import Field
from torch import Tensor, nn

from kdcore.contracts.access import Grant
from kdcore.contracts.method import Batch, Method, Term
from kdcore.nn.losses import cross_entropy


def squared_distance(student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """Mean squared difference of logits (B, C), in float32; a scalar."""
    return (student_logits.float() - teacher_logits.float()).square().mean()


class Mimic(Method):
    """Regression on logits."""

    title: ClassVar[str] = "Mimic logits"
    family: ClassVar[str] = "logits"
    equation: ClassVar[str] = r"\mathcal{L} = \lambda\,\mathrm{CE}(z_s, y) + \frac{\alpha}{C}\,\|z_s - z_t\|_2^2"
    symbols: ClassVar[dict[str, str]] = {"label_weight": r"\lambda", "logit_weight": r"\alpha"}
    paper: ClassVar[str] = "Ba and Caruana, NeurIPS 2014"
    needs: ClassVar[frozenset[Grant]] = frozenset({"logits"})
    rate: ClassVar[float] = 0.5
    label_weight: float = Field(0.0, ge=0.0, le=100.0, description="Weight of the true labels.")
    logit_weight: float = Field(1.0, ge=0.0, le=100.0, description="Weight of the teacher's logits.")

    def terms(self, batch: Batch, state: nn.Module | None) -> dict[str, Term]:
        """Labels and squared distance of logits."""
        assert batch.teacher is not None
        student_logits = batch.student.logits
        return {
            "labels": Term(self.label_weight, cross_entropy(student_logits, batch.labels)),
            "logits": Term(self.logit_weight, squared_distance(student_logits, batch.teacher.logits)),
        }
