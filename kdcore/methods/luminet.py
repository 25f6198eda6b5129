r"""LumiNet: each class's logits are standardised over the batch, so a sample is described relative to the others.

Let $h_{bc} = (z_{bc} - \mu_c)/\sqrt{v_c + 10^{-5}}$, with $\mu_c$ and $v_c$ the mean and (biased) variance of the
logits of class $c$ over the batch, for teacher and student. The loss is label weight $\lambda$ times $\mathrm{CE}(z_s,
y)$ plus $w\,\alpha^2\,\mathrm{KL}(\sigma(h_t/T)\,\|\,\sigma(h_s/T))$, where $w$ rises from 0 to 1 in the first part of
the run; there is no factor $T^2$. The loss depends on the rest of the batch: its size and mix of classes matter, and a
batch of one gives no gradient.

Source: Hossain, Elahi, Ramasinghe, Cheraghian, Rahman, Mohammed and Rahman, LumiNet: The Bright Side of Perceptual
Knowledge Distillation, 2023, arXiv 2310.03669; label weight 2, $\alpha$ 33, $T$ 4 and a warm-up of 20 of 240 epochs, as
released for ResNet32x4 to ResNet8x4.

Departs from it: the warm-up rises with every step from 0, theirs with every epoch.

Zero when: each class's logits are the teacher's times a positive number plus a constant, up to the 1e-5 (the term
"kd").
"""

from typing import ClassVar

from pydantic import Field
from torch import Tensor, nn

from kdcore.contracts.access import Grant
from kdcore.contracts.method import Batch, Method, Term
from kdcore.nn.losses import cross_entropy, ramp, weighted_kl


def column_standardised(logits: Tensor) -> Tensor:
    """Logits (B, C) whose columns have mean 0 and (biased) standard deviation 1 over the batch, float32."""
    centred = logits.float() - logits.float().mean(0)
    return centred * (centred.square().mean(0) + 1e-5).rsqrt()


def luminet_loss(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """KL(teacher || student) in nats at temperature T > 0, of logits (B, C) whose columns are standardised."""
    student, teacher = (column_standardised(logits) / temperature for logits in (student_logits, teacher_logits))
    return weighted_kl(teacher, student, 1.0)


class LumiNet(Method):
    """Distillation of logits standardised over the batch."""

    title: ClassVar[str] = "LumiNet"
    family: ClassVar[str] = "temperature"
    equation: ClassVar[str] = (
        r"\mathcal{L} = \lambda\,\mathrm{CE}(z_s, y) + w\,\alpha^2\,"
        r"\mathrm{KL}\big(\sigma(h_t/T)\,\|\,\sigma(h_s/T)\big),"
        r"\quad h_{bc} = \frac{z_{bc} - \mu_c}{\sqrt{v_c + 10^{-5}}}"
    )
    symbols: ClassVar[dict[str, str]] = {"temperature": "T", "label_weight": r"\lambda", "alpha": r"\alpha"}
    paper: ClassVar[str] = "Hossain, Elahi, Ramasinghe, Cheraghian, Rahman, Mohammed and Rahman, 2023"
    needs: ClassVar[frozenset[Grant]] = frozenset({"logits"})
    temperature: float = Field(4.0, ge=0.1, le=100.0, description="Softens the standardised logits of both.")
    label_weight: float = Field(2.0, ge=0.0, le=100.0, description="Weight of the true labels.")
    alpha: float = Field(33.0, ge=0.0, le=100.0, description="Root of the weight of the teacher's logits.")
    warmup: float = Field(0.083, ge=0.0, le=1.0, description="Share of the run in which distillation fades in.")

    def terms(self, batch: Batch, state: nn.Module | None) -> dict[str, Term]:
        """Labels and logits standardised over the batch."""
        assert batch.teacher is not None
        logits = batch.student.logits
        kd = luminet_loss(logits, batch.teacher.logits, self.temperature)
        return {
            "labels": Term(self.label_weight, cross_entropy(logits, batch.labels)),
            "kd": Term(ramp(batch.progress, self.warmup) * self.alpha**2, kd),
        }
