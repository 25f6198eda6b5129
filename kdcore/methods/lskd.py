r"""Logit standardisation: before they are compared, both rows of logits get mean 0 and standard deviation 1.

Let $Z(z)$ be a row of logits $z$ minus its mean, divided by its standard deviation. The loss is label weight $\lambda$
times $\mathrm{CE}(z_s, y)$ plus KD weight $\alpha$ times $T^2\,\mathrm{KL}(\sigma(Z(z_t)/T)\,\|\,\sigma(Z(z_s)/T))$.
The student is free to choose its own shift and scale and copies only the teacher's ranking and relative gaps; so
confidence is not distilled, which the student's calibration shows.

Source: Sun, Ren, Li, Wang and Cao, Logit Standardization in Knowledge Distillation, CVPR 2024, arXiv 2403.01427;
weights .1 and 9 and $T$ 2, the settings most often used with the released code.

Departs from it: none; unlabelled rows take part in the second term only.

Zero when: each row of the student's logits is the teacher's times a positive number plus a constant (the term "kd").
"""

from typing import ClassVar

from pydantic import Field
from torch import Tensor, nn

from kdcore.contracts.access import Grant
from kdcore.contracts.method import Batch, Method, Term
from kdcore.nn.losses import cross_entropy, standardised, weighted_kl


def lskd_loss(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """T^2 KL(teacher || student) in nats at temperature T > 0, of logits (B, C) whose rows are standardised."""
    student, teacher = (standardised(logits) / temperature for logits in (student_logits, teacher_logits))
    return weighted_kl(teacher, student, temperature**2)


class LSKD(Method):
    """Distillation of standardised logits."""

    title: ClassVar[str] = "Logit standardisation"
    family: ClassVar[str] = "temperature"
    equation: ClassVar[str] = (
        r"\mathcal{L} = \lambda\,\mathrm{CE}(z_s, y) + \alpha\,T^2\,"
        r"\mathrm{KL}\big(\sigma(Z(z_t)/T)\,\|\,\sigma(Z(z_s)/T)\big), \quad Z(z) = \frac{z - \bar z}{\mathrm{std}(z)}"
    )
    symbols: ClassVar[dict[str, str]] = {"temperature": "T", "label_weight": r"\lambda", "kd_weight": r"\alpha"}
    paper: ClassVar[str] = "Sun, Ren, Li, Wang and Cao, CVPR 2024"
    needs: ClassVar[frozenset[Grant]] = frozenset({"probabilities"})
    temperature: float = Field(2.0, ge=0.1, le=100.0, description="Softens the standardised logits of both.")
    label_weight: float = Field(0.1, ge=0.0, le=100.0, description="Weight of the true labels.")
    kd_weight: float = Field(9.0, ge=0.0, le=100.0, description="Weight of the teacher's standardised logits.")

    def terms(self, batch: Batch, state: nn.Module | None) -> dict[str, Term]:
        """Labels and standardised logits."""
        assert batch.teacher is not None
        logits = batch.student.logits
        return {
            "labels": Term(self.label_weight, cross_entropy(logits, batch.labels)),
            "kd": Term(self.kd_weight, lskd_loss(logits, batch.teacher.logits, self.temperature)),
        }

    def metrics(self, batch: Batch, state: nn.Module | None) -> dict[str, Tensor]:
        """Mean standard deviation of a row of logits: the student's is its own choice."""
        assert batch.teacher is not None
        sides = {"teacher_std": batch.teacher, "student_std": batch.student}
        return {name: side.logits.float().std(1).mean() for name, side in sides.items()}

    def arrays(self, batch: Batch, state: nn.Module | None) -> dict[str, Tensor]:
        """The temperature of the teacher's raw logits that makes of them what is imitated."""
        assert batch.teacher is not None
        return {"temperature": self.temperature * batch.teacher.logits.float().std(1)}
