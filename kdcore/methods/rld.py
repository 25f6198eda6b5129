r"""Refined logits: the teacher's confidence goes to the true class; classes it ranks above that are left out.

At temperature $T'$ let $b_t = (\max p, 1 - \max p)$ be the teacher's confidence in its prediction, whatever it is, and
$b_s = (q_y, 1 - q_y)$ the student's in the true class. At temperature $T$ let $r$ be the softmax over the classes that
the teacher ranks below $y$, each for teacher $t$ and student $s$; where there is none, that term is 0. The weights are
$\lambda$ for the labels (label weight), $\alpha$ for the confidence term $T'^2\,\mathrm{KL}(b_t\,\|\,b_s)$ and $\beta$
for the ranked term $T^2\,\mathrm{KL}(r_t\,\|\,r_s)$; $w$ rises from 0 to 1 in the first part of the run. Where the
teacher is right and $T' = T$ this is decoupled distillation.

Source: Sun, Chen, Lyu, Chen, Chen and Wang, Knowledge Distillation with Refined Logits, ICCV 2025, arXiv 2408.07703;
$\alpha$ 1, $\beta$ 8, $T$ 4, $T'$ 1 and a warm-up of 20 epochs, the defaults of the released code; 240 epochs are
assumed.

Departs from it: the values for each pair of networks are not published. The warm-up rises with every step from 0,
theirs with every epoch; classes are masked exactly, theirs by a large negative constant that half precision cannot
hold; on unlabelled rows the teacher's prediction replaces $y$.

Zero when: the teacher is right and the logits of each row differ by a constant (the terms "confidence", "ranked").
"""

from typing import ClassVar

from pydantic import Field
from torch import Tensor, nn

from kdcore.contracts.access import Grant
from kdcore.contracts.method import Batch, Method, Term
from kdcore.nn.losses import STANDARDISE, compared, cross_entropy, kl, log_probs, one_hot, ramp, target_or_not, without


def at_or_above(logits: Tensor, targets: Tensor) -> Tensor:
    """Where logits (B, C) are at least that of targets (B,): the target's own place and those ranked above it."""
    return logits >= logits.gather(1, targets[:, None])


def confidence_loss(student_logits: Tensor, teacher_logits: Tensor, targets: Tensor, temperature: float) -> Tensor:
    """T^2 KL in nats of the teacher's confidence in its choice to the student's in targets (B,), of logits (B, C)."""
    student, teacher = (log_probs(logits, temperature) for logits in (student_logits, teacher_logits))
    chosen, true = (one_hot(row, student.shape[1]) for row in (teacher.argmax(1), targets))
    return kl(target_or_not(teacher, chosen), target_or_not(student, true)) * temperature**2


def ranked_loss(student_logits: Tensor, teacher_logits: Tensor, targets: Tensor, temperature: float) -> Tensor:
    """T^2 KL in nats among the classes that the teacher ranks below targets (B,), of logits (B, C)."""
    masked = at_or_above(teacher_logits, targets)
    student, teacher = (without(log_probs(z, temperature), masked) for z in (student_logits, teacher_logits))
    return kl(teacher, student) * temperature**2


def refined(teacher_logits: Tensor, targets: Tensor) -> Tensor:
    """What is asked of the student, (B, C): the teacher's confidence at targets (B,), the rest where it is compared.

    The rest is split as the teacher does among the classes ranked below y, or among all others where there is none.
    """
    log_p, is_target = log_probs(teacher_logits), one_hot(targets, teacher_logits.shape[1])
    masked = at_or_above(teacher_logits, targets)
    left_out = masked.where(~masked.all(1, keepdim=True), is_target)
    confidence = target_or_not(log_p, one_hot(log_p.argmax(1), log_p.shape[1])).exp()
    return (confidence[:, 1:] * without(log_p, left_out).exp()).where(~left_out, is_target * confidence[:, :1])


class RLD(Method):
    """Distillation of what a wrong teacher can still say."""

    title: ClassVar[str] = "Refined logits"
    family: ClassVar[str] = "repair"
    equation: ClassVar[str] = (
        r"\mathcal{L} = \lambda\,\mathrm{CE}(z_s, y) + w\,\big(\alpha\,T'^2\,\mathrm{KL}(b_t\,\|\,b_s)"
        r" + \beta\,T^2\,\mathrm{KL}(r_t\,\|\,r_s)\big), \quad b_t = (\max p, 1 - \max p),\ b_s = (q_y, 1 - q_y)"
    )
    symbols: ClassVar[dict[str, str]] = {
        "temperature": "T",
        "confidence_temperature": "T'",
        "label_weight": r"\lambda",
        "alpha": r"\alpha",
        "beta": r"\beta",
    }
    paper: ClassVar[str] = "Sun, Chen, Lyu, Chen, Chen and Wang, ICCV 2025"
    needs: ClassVar[frozenset[Grant]] = frozenset({"probabilities"})
    temperature: float = Field(4.0, ge=0.1, le=100.0, description="Softens the classes ranked below the true one.")
    confidence_temperature: float = Field(1.0, ge=0.1, le=100.0, description="Softens the confidence of both.")
    label_weight: float = Field(1.0, ge=0.0, le=100.0, description="Weight of the true labels.")
    alpha: float = Field(1.0, ge=0.0, le=100.0, description="Weight of the confidence.")
    beta: float = Field(8.0, ge=0.0, le=100.0, description="Weight of the classes ranked below the true one.")
    warmup: float = Field(0.083, ge=0.0, le=1.0, description="Share of the run in which distillation fades in.")
    standardise: bool = Field(False, description=STANDARDISE)

    def terms(self, batch: Batch, state: nn.Module | None) -> dict[str, Term]:
        """Labels, confidence and the classes ranked below the true one."""
        logits, rise = compared(batch, self.standardise), ramp(batch.progress, self.warmup)
        confidence = confidence_loss(*logits, batch.targets, self.confidence_temperature)
        ranked = ranked_loss(*logits, batch.targets, self.temperature)
        return {
            "labels": Term(self.label_weight, cross_entropy(batch.student.logits, batch.labels)),
            "confidence": Term(rise * self.alpha, confidence),
            "ranked": Term(rise * self.beta, ranked),
        }

    def metrics(self, batch: Batch, state: nn.Module | None) -> dict[str, Tensor]:
        """Share of rows in which more than the target is masked."""
        assert batch.teacher is not None
        masked = at_or_above(batch.teacher.logits, batch.targets)
        return {"teacher_repaired": (masked.sum(1) > 1).float().mean()}

    def arrays(self, batch: Batch, state: nn.Module | None) -> dict[str, Tensor]:
        """What is asked of the student at temperature 1; 0 at masked classes, of which nothing is asked."""
        assert batch.teacher is not None
        return {"target": refined(batch.teacher.logits, batch.targets)}
