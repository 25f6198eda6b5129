r"""Adaptive temperature: each sample is softened by the teacher's largest standardised logit.

Let $Z(z)$ be a row of logits standardised to mean 0 and standard deviation 1. Sample $i$ gets the temperature $T_i =
\max_c Z(z_t)_c$, used for both networks. The loss is label weight $\lambda$ times $\mathrm{CE}(z_s, y)$ plus KD weight
$\alpha$ times the mean over the batch of $T_i^2\,\mathrm{KL}(\sigma(Z(z_t)/T_i)\,\|\,\sigma(Z(z_s)/T_i))$, with
$\sigma$ the softmax. At such a temperature the divergence is governed mainly by the correlation between the two rows of
logits. For $C$ classes, $T_i$ lies between $1/\sqrt{C}$ and $(C - 1)/\sqrt{C}$.

Source: Matsuyama, Anjum, Matsuyama, Shoda and Zhan, Adaptive Temperature Based on Logits Correlation in Knowledge
Distillation, 2025, arXiv 2503.09030; weights .1 and 9 as in the command of the released code's introduction.

Departs from it: that the teacher's largest logit is the temperature is published, but the function that computes it
could not be read: $T_i$ of standardised logits for both networks and the factor $T_i^2$ are our reading. Where all of a
teacher's logits are equal, $T_i$ is $1/\sqrt{C}$, the smallest value that any other row can have.

Zero when: each row of the student's logits is the teacher's times a positive number plus a constant (the term "kd").
"""

from typing import ClassVar

from pydantic import Field
from torch import Tensor, nn

from kdcore.contracts.access import Grant
from kdcore.contracts.method import Batch, Method, Term
from kdcore.nn.losses import cross_entropy, standardised, weighted_kl


def largest_standardised(teacher_logits: Tensor) -> Tensor:
    """Temperature (B,) of each row of logits (B, C): its largest standardised logit."""
    return standardised(teacher_logits).amax(1).clamp(min=teacher_logits.shape[1] ** -0.5)


def adat_loss(student_logits: Tensor, teacher_logits: Tensor, temperature: Tensor) -> Tensor:
    """T^2 KL(teacher || student) in nats of standardised logits (B, C), each row at its own temperature, (B,)."""
    student, teacher = (standardised(logits) / temperature[:, None] for logits in (student_logits, teacher_logits))
    return weighted_kl(teacher, student, temperature**2)


class AdaT(Method):
    """Distillation at the temperature the teacher's largest logit gives."""

    title: ClassVar[str] = "Adaptive temperature"
    family: ClassVar[str] = "temperature"
    equation: ClassVar[str] = (
        r"\mathcal{L} = \lambda\,\mathrm{CE}(z_s, y) + \alpha\,T_i^2\,"
        r"\mathrm{KL}\big(\sigma(Z(z_t)/T_i)\,\|\,\sigma(Z(z_s)/T_i)\big), \quad T_i = \max_c Z(z_t)_c"
    )
    symbols: ClassVar[dict[str, str]] = {"label_weight": r"\lambda", "kd_weight": r"\alpha"}
    paper: ClassVar[str] = "Matsuyama, Anjum, Matsuyama, Shoda and Zhan, 2025"
    needs: ClassVar[frozenset[Grant]] = frozenset({"probabilities"})
    label_weight: float = Field(0.1, ge=0.0, le=100.0, description="Weight of the true labels.")
    kd_weight: float = Field(9.0, ge=0.0, le=100.0, description="Weight of the teacher's standardised logits.")

    def terms(self, batch: Batch, state: nn.Module | None) -> dict[str, Term]:
        """Labels and standardised logits at each sample's temperature."""
        assert batch.teacher is not None
        logits, teacher = batch.student.logits, batch.teacher.logits
        return {
            "labels": Term(self.label_weight, cross_entropy(logits, batch.labels)),
            "kd": Term(self.kd_weight, adat_loss(logits, teacher, largest_standardised(teacher))),
        }

    def metrics(self, batch: Batch, state: nn.Module | None) -> dict[str, Tensor]:
        """Mean temperature of standardised logits, and mean correlation of the two rows of logits."""
        assert batch.teacher is not None
        student, teacher = standardised(batch.student.logits), standardised(batch.teacher.logits)
        correlation = (student * teacher).sum(1).mean() / (student.shape[1] - 1)
        return {
            "standardised_temperature": largest_standardised(batch.teacher.logits).mean(),
            "correlation": correlation,
        }

    def arrays(self, batch: Batch, state: nn.Module | None) -> dict[str, Tensor]:
        """The temperature of the teacher's raw logits that makes of them what is imitated."""
        assert batch.teacher is not None
        logits = batch.teacher.logits.float()
        return {"temperature": largest_standardised(logits) * logits.std(1)}
