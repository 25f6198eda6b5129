r"""NormKD: every sample gets its own temperature, proportional to the spread of its logits.

With $T_n$ a constant and $\mathrm{std}$ the standard deviation of a row of logits, teacher and student are softened by
$T_t = T_n\,\mathrm{std}(z_t)$ and $T_s = T_n\,\mathrm{std}(z_s)$. The loss is label weight $\lambda$ times
$\mathrm{CE}(z_s, y)$ plus KD weight $\alpha$ times the mean over the batch of
$T_t^2\,\mathrm{KL}(\sigma(z_t/T_t)\,\|\,\sigma(z_s/T_s))$. The two distributions are those of logit standardisation at
temperature $T_n$, as a shift changes no softmax; only the weight $T_t^2$ differs from sample to sample.

Source: Chi, Zheng, Li, Yang, Wu, Lin and Cai, NormKD: Normalized Logits for Knowledge Distillation, 2023, arXiv
2308.00520; weights .1 and .9 and $T_n$ 2, without a warm-up.

Departs from it: the mean of each row is subtracted and 1e-7 is added to each standard deviation, so that equal logits
cause no division by 0.

Zero when: each row of the student's logits is the teacher's times a positive number plus a constant (the term "kd").
"""

from typing import ClassVar

from pydantic import Field
from torch import Tensor, nn

from kdcore.contracts.access import Grant
from kdcore.contracts.method import Batch, Method, Term
from kdcore.nn.losses import cross_entropy, standardised, weighted_kl


def row_temperature(logits: Tensor, temperature: float) -> Tensor:
    """Temperature (B,) of each row of logits (B, C): `temperature` times its standard deviation."""
    return temperature * (logits.float().std(1) + 1e-7)


def normkd_loss(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """KL(teacher || student) in nats of logits (B, C), each row at its own temperature T_t or T_s, times T_t^2."""
    student, teacher = (standardised(logits) / temperature for logits in (student_logits, teacher_logits))
    return weighted_kl(teacher, student, row_temperature(teacher_logits, temperature) ** 2)


class NormKD(Method):
    """Distillation with a temperature for each sample."""

    title: ClassVar[str] = "NormKD"
    family: ClassVar[str] = "temperature"
    equation: ClassVar[str] = (
        r"\mathcal{L} = \lambda\,\mathrm{CE}(z_s, y) + \alpha\,T_t^2\,"
        r"\mathrm{KL}\big(\sigma(z_t/T_t)\,\|\,\sigma(z_s/T_s)\big), \quad T_{\cdot} = T_n\,\mathrm{std}(z_{\cdot})"
    )
    symbols: ClassVar[dict[str, str]] = {"temperature": "T_n", "label_weight": r"\lambda", "kd_weight": r"\alpha"}
    paper: ClassVar[str] = "Chi, Zheng, Li, Yang, Wu, Lin and Cai, 2023"
    needs: ClassVar[frozenset[Grant]] = frozenset({"probabilities"})
    temperature: float = Field(2.0, ge=0.1, le=100.0, description="Temperature in standard deviations of a row.")
    label_weight: float = Field(0.1, ge=0.0, le=100.0, description="Weight of the true labels.")
    kd_weight: float = Field(0.9, ge=0.0, le=100.0, description="Weight of the teacher's probabilities.")

    def terms(self, batch: Batch, state: nn.Module | None) -> dict[str, Term]:
        """Labels and probabilities softened row by row."""
        assert batch.teacher is not None
        logits = batch.student.logits
        return {
            "labels": Term(self.label_weight, cross_entropy(logits, batch.labels)),
            "kd": Term(self.kd_weight, normkd_loss(logits, batch.teacher.logits, self.temperature)),
        }

    def metrics(self, batch: Batch, state: nn.Module | None) -> dict[str, Tensor]:
        """Mean temperature of each network."""
        assert batch.teacher is not None
        sides = {"teacher_temperature": batch.teacher, "student_temperature": batch.student}
        return {name: row_temperature(side.logits, self.temperature).mean() for name, side in sides.items()}

    def arrays(self, batch: Batch, state: nn.Module | None) -> dict[str, Tensor]:
        """The teacher's temperature for each sample."""
        assert batch.teacher is not None
        return {"temperature": row_temperature(batch.teacher.logits, self.temperature)}
