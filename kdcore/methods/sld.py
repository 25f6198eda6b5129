r"""Swapped logit distillation: where a network is wrong, its largest logit and the true class's are swapped.

$\mathrm{swap}(z)$ exchanges the two where the largest logit is not that of $y$; all values stay, so the gap between the
two classes keeps its size and changes its sign. Both networks see each row twice: as usual, and strongly augmented. On
each view $v$ the swapped teacher gives $\sum_{T=1}^{6}
T^2\,\mathrm{KL}(\sigma(\mathrm{swap}(z_t)/T)\,\|\,\sigma(z_s/T))$, and the student's own swapped logits give the same
sum with $\mathrm{swap}(z_s)$ as the target. The loss adds over views label weight $\lambda$ times $\mathrm{CE}(z_s, y)$
and KD weight $\alpha$ times both sums; $w$ is 0 until a set share of the run and 1 afterwards. For each temperature and
wrong row the student's own term is $T\,(q_m - q_y)\,(z_{s,m} - z_{s,y})$, with $m$ the student's prediction: a penalty
on the margin of its own mistake.

Source: Limantoro, Lin, Wang, Tsai, Shuai, Huang and Cheng, Swapped Logit Distillation via Bi-level Teacher Alignment,
Multimedia Systems 2025, arXiv 2504.20108; weights .1 and .9, six temperatures, their sum not divided, and the student's
own term after epoch 150 of 240, as released. The released runs take half the learning rate that is usual with this
benchmark.

Departs from it: none as released, where the student's swapped logits keep their gradient; `detach_target` makes them a
constant, like a teacher's. On unlabelled rows the teacher's prediction on the usual view replaces $y$ on both.

Zero when: the student is right and on both views its logits equal the teacher's swapped ones, up to a constant for each
row (the terms "teacher", "student"); the second is 0 wherever the student is right.
"""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from kdcore.contracts.access import Grant
from kdcore.contracts.method import Ask, Batch, Method, Term
from kdcore.nn.losses import cross_entropy, swap, weighted_kl, wrong

VIEWS = 2


def ladder_loss(student_logits: Tensor, target_logits: Tensor, temperatures: int) -> Tensor:
    """Sum over T = 1..temperatures of T^2 KL(target || student) in nats, of logits (B, C)."""
    steps = torch.arange(1, temperatures + 1, device=student_logits.device, dtype=torch.float32)
    scale = steps.repeat_interleave(len(student_logits))
    student, target = (z.float().repeat(temperatures, 1) / scale[:, None] for z in (student_logits, target_logits))
    return temperatures * weighted_kl(target, student, scale**2)


def both_views(batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Student's and teacher's logits (2B, C) and targets (2B,): the usual view, then the strong one."""
    assert batch.teacher is not None
    assert batch.second is not None
    assert batch.second.teacher is not None
    student = torch.cat((batch.student.logits, batch.second.student.logits))
    teacher = torch.cat((batch.teacher.logits, batch.second.teacher.logits))
    return student, teacher, batch.targets.repeat(VIEWS)


class SLD(Method):
    """Distillation of a teacher, and of the student itself, set right by a swap."""

    title: ClassVar[str] = "Swapped logit distillation"
    family: ClassVar[str] = "repair"
    equation: ClassVar[str] = (
        r"\mathcal{L} = \sum_{v}\Big(\lambda\,\mathrm{CE}(z_s, y) + \alpha\sum_{T=1}^{6} T^2\big("
        r"\mathrm{KL}(\sigma(\mathrm{swap}(z_t)/T)\,\|\,\sigma(z_s/T))"
        r" + w\,\mathrm{KL}(\sigma(\mathrm{swap}(z_s)/T)\,\|\,\sigma(z_s/T))\big)\Big)"
    )
    symbols: ClassVar[dict[str, str]] = {"label_weight": r"\lambda", "kd_weight": r"\alpha"}
    paper: ClassVar[str] = "Limantoro, Lin, Wang, Tsai, Shuai, Huang and Cheng, Multimedia Systems 2025"
    needs: ClassVar[frozenset[Grant]] = frozenset({"probabilities"})
    asks: ClassVar[frozenset[Ask]] = frozenset({"second_view"})
    rate: ClassVar[float] = 0.5
    label_weight: float = Field(0.1, ge=0.0, le=100.0, description="Weight of the true labels, per view.")
    kd_weight: float = Field(0.9, ge=0.0, le=100.0, description="Weight of both swapped teachers, per view.")
    temperatures: int = Field(6, ge=1, le=20, description="How many temperatures are summed, from 1 on.")
    student_start: float = Field(
        0.625, ge=0.0, le=1.0, description="Share of the run after which the student's own swapped logits are used."
    )
    detach_target: bool = Field(False, description="Make the student's swapped logits a constant target.")

    def terms(self, batch: Batch, state: nn.Module | None) -> dict[str, Term]:
        """Labels, the teacher's swapped logits and the student's own."""
        student, teacher, targets = both_views(batch)
        own = swap(student, targets)
        taught = ladder_loss(student, swap(teacher, targets), self.temperatures)
        own_taught = ladder_loss(student, own.detach() if self.detach_target else own, self.temperatures)
        started = batch.progress >= self.student_start
        return {
            "labels": Term(self.label_weight, VIEWS * cross_entropy(student, batch.labels.repeat(VIEWS))),
            "teacher": Term(self.kd_weight, VIEWS * taught),
            "student": Term(self.kd_weight if started else 0.0, VIEWS * own_taught),
        }

    def metrics(self, batch: Batch, state: nn.Module | None) -> dict[str, Tensor]:
        """Share of rows, over both views, in which either swap fires."""
        student, teacher, targets = both_views(batch)
        sides = {"teacher_repaired": teacher, "student_repaired": student}
        return {name: wrong(logits, targets).float().mean() for name, logits in sides.items()}

    def arrays(self, batch: Batch, state: nn.Module | None) -> dict[str, Tensor]:
        """The teacher's probabilities after the swap, on the usual view."""
        assert batch.teacher is not None
        return {"target": swap(batch.teacher.logits.float(), batch.targets).softmax(1)}
