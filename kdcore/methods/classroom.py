r"""ClassroomKD: several mentors teach the student, and in each batch only those that currently outperform it count.

The skill of a network in a batch is $r = \exp(-\mathrm{mean}\ \mathrm{CE})$, the geometric mean of the probabilities it
assigns to the true classes; $w$ is $M r$ over the sum of all $r$, for $M$ mentors and the student. Mentor $m$ counts
where $w_m \ge w_s$, at its own temperature $T_m = 1 + \mathrm{reach} \cdot (w_m - w_s)/w_m$. The loss is label weight
$\lambda$ times $r_s\,\mathrm{CE}(z_s, y)$ plus KD weight $\alpha$ times the sum over these mentors of
$w_m\,T_m^2\,\mathrm{KL}(\sigma(z_m/T_m)\,\|\,\sigma(z_s/T_m))$. Mentor 0 is the teacher.

Source: Sarode, Khan, Shehzadi, Stricker and Afzal, Classroom-Inspired Multi-Mentor Distillation with Adaptive Learning
Strategies, IntelliSys 2025, arXiv 2409.20237; reach 12.

Departs from it: the released code rounds $w$ to two decimals; no gradient flows through the skills, which are taken
over the labelled rows of the batch; label_weight and kd_weight are ours. Without labels all are equally skilled, so
each mentor counts at temperature 1.

Zero when: the student assigns the true classes more probability than any mentor does (the terms of the mentors), or a
mentor's logits differ from the student's by a constant in each row (that mentor's term).
"""

from typing import ClassVar, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from kdcore.contracts.access import Grant
from kdcore.contracts.method import Batch, Lineage, Method, Term
from kdcore.nn.losses import cross_entropy, kl, log_probs


class Standing(NamedTuple):
    """How the student and its M mentors stand in one batch."""

    skill: Tensor  # scalar, the student's r
    student: Tensor  # scalar, the student's w
    mentors: Tensor  # (M,) w of those heard, 0 of the others
    temperatures: Tensor  # (M,) 1 for those who are no better


def standing(student_loss: Tensor, mentor_losses: Tensor, reach: float) -> Standing:
    """Weights and temperatures, from the mean cross-entropy of the student (scalar) and of the mentors (M,)."""
    shares = torch.cat((student_loss[None], mentor_losses)).neg().softmax(0) * len(mentor_losses)
    ahead = -torch.expm1((mentor_losses - student_loss).clamp(max=0.0))  # (w_m - w_s) / w_m where m is better
    heard = shares[1:] * (mentor_losses <= student_loss)
    return Standing(student_loss.neg().exp(), shares[0], heard, 1.0 + reach * ahead)


class Classroom(Method):
    """Mentors that take turns by their skill."""

    title: ClassVar[str] = "ClassroomKD"
    family: ClassVar[str] = "teachers"
    equation: ClassVar[str] = (
        r"\mathcal{L} = \lambda\,r_s\,\mathrm{CE}(z_s, y)"
        r" + \alpha \sum_{m:\,w_m \ge w_s} w_m\,T_m^2\,\mathrm{KL}\big(\sigma(z_m/T_m)\,\|\,\sigma(z_s/T_m)\big)"
    )
    symbols: ClassVar[dict[str, str]] = {"label_weight": r"\lambda", "kd_weight": r"\alpha"}
    paper: ClassVar[str] = "Sarode, Khan, Shehzadi, Stricker and Afzal, IntelliSys 2025"
    needs: ClassVar[frozenset[Grant]] = frozenset({"probabilities"})
    lineage: ClassVar[Lineage] = "peers"
    rate: ClassVar[float] = 0.5
    fixed: ClassVar[frozenset[str]] = frozenset({"peers"})
    peers: int = Field(2, ge=1, le=4, description="Mentors beside the teacher, from the student's size upwards.")
    reach: float = Field(12.0, ge=0.0, le=100.0, description="How far a mentor's lead raises its temperature above 1.")
    label_weight: float = Field(1.0, ge=0.0, le=100.0, description="Weight of the true labels, beside the skill.")
    kd_weight: float = Field(1.0, ge=0.0, le=100.0, description="Weight of all mentors together.")

    def mentors(self, batch: Batch) -> list[Tensor]:
        """The logits (B, C) of the teacher and of the further mentors."""
        assert batch.teacher is not None
        return [batch.teacher.logits, *(mentor.logits for mentor in batch.mentors)]

    def standing(self, batch: Batch) -> Standing:
        """Who is heard in this batch."""
        losses = [cross_entropy(logits, batch.labels) for logits in self.mentors(batch)]
        return standing(cross_entropy(batch.student.logits.detach(), batch.labels), torch.stack(losses), self.reach)

    def terms(self, batch: Batch, state: nn.Module | None) -> dict[str, Term]:
        """Labels by the student's skill, and each mentor by its own."""
        logits, now = batch.student.logits.float(), self.standing(batch)
        found = {"labels": Term(self.label_weight, now.skill * cross_entropy(logits, batch.labels))}
        for place, mentor in enumerate(self.mentors(batch)):
            temperature = now.temperatures[place]
            divergence = kl(log_probs(mentor.float() / temperature), log_probs(logits / temperature))
            found[f"mentor_{place}"] = Term(self.kd_weight, now.mentors[place] * temperature**2 * divergence)
        return found

    def metrics(self, batch: Batch, state: nn.Module | None) -> dict[str, Tensor]:
        """Weights, 0 of a mentor that is not heard, and temperatures."""
        now = self.standing(batch)
        weights = {f"mentor_{place}": weight for place, weight in enumerate(now.mentors)}
        temperatures = {f"temperature_{place}": one for place, one in enumerate(now.temperatures)}
        return {"student": now.student, **weights, **temperatures}
