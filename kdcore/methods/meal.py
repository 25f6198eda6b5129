r"""MEAL V2: the student imitates the average of several teachers; a small critic tries to tell them apart.

With $\frac{1}{M}\sum_m \sigma(z_m)$ the mean of the teachers' softmaxes, the loss is KD weight $\alpha$ times the
student's cross-entropy with that mean plus critic weight $\beta$ times BCE. The critic $d$ is a small network that
distinguishes the student's logits $z_s$ from the teachers' mean logits $\bar z$; BCE is its mean error. The critic
minimises BCE and the student maximises it, so that it is mistaken for the teachers.

Source: Shen and Savvides, MEAL V2: Boosting Vanilla ResNet-50 to 80%+ Top-1 Accuracy on ImageNet without Tricks, 2020,
arXiv 2009.08453. No labels and no weight decay; set the schedule's weight decay to 0 for the latter.

Departs from it: in the released code student and critic both lower the same error, so the student helps the critic
rather than deceiving it; "shared" follows that code, and "reversed", the default, reverses the student's gradient. The
critic has one output and a hidden layer of C/2 units; theirs, as their training script builds it, has two outputs,
hidden layers of C/8 and C/64 units, and a ReLU behind the outputs, so that its error cannot fall below half of log 2.
The weights 1 and 0.1 are ours, theirs both 1.

Zero when: never; the term "kd" is smallest where the student's probabilities equal the teachers' mean, whose entropy it
is then, and the term "critic" is $\log 2$ where the critic cannot distinguish them.
"""

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from kdcore.contracts.access import Grant
from kdcore.contracts.method import Batch, Lineage, Method, Pair, Term
from kdcore.nn.losses import kl_rows, log_probs, scale_gradient, soft_cross_entropy

LEAST_UNITS = 4  # in the critic's hidden layer


def critic(classes: int) -> nn.Module:
    """A judge of logits (B, C); one logit (B, 1), above 0 where it takes them for the teachers'."""
    units = max(LEAST_UNITS, classes // 2)
    return nn.Sequential(nn.Linear(classes, units), nn.ReLU(), nn.Linear(units, 1))


def critic_loss(verdicts_student: Tensor, verdicts_teachers: Tensor) -> Tensor:
    """Mean error in nats of verdicts (B, 1) on the student's and on the teachers' logits."""
    return (F.softplus(verdicts_student).mean() + F.softplus(-verdicts_teachers).mean()) / 2


class MEAL(Method):
    """The mean of several teachers, and a critic."""

    title: ClassVar[str] = "MEAL V2"
    family: ClassVar[str] = "teachers"
    equation: ClassVar[str] = (
        r"\mathcal{L} = \alpha\,\mathrm{CE}\Big(z_s, \tfrac{1}{M}\sum_m \sigma(z_m)\Big)"
        r" + \beta\,\mathrm{BCE}\big(d(z_s), d(\bar z)\big)"
    )
    symbols: ClassVar[dict[str, str]] = {"kd_weight": r"\alpha", "critic_weight": r"\beta"}
    paper: ClassVar[str] = "Shen and Savvides, arXiv 2020"
    needs: ClassVar[frozenset[Grant]] = frozenset({"logits"})
    lineage: ClassVar[Lineage] = "copies"
    fixed: ClassVar[frozenset[str]] = frozenset({"copies"})
    copies: int = Field(2, ge=2, le=5, description="Teachers in all, trained with different seeds.")
    kd_weight: float = Field(
        1.0, ge=0.0, le=100.0, description="Weight of the teachers' mean probabilities; use about 4 for a short run."
    )
    critic_weight: float = Field(0.1, ge=0.0, le=100.0, description="Weight of the critic.")
    critic_sign: Literal["reversed", "shared"] = Field(
        "reversed", description="Whether the student deceives the critic or helps it, as in the released code."
    )

    def connect(self, pair: Pair) -> nn.Module:
        """The critic."""
        return critic(pair.classes)

    def teachers(self, batch: Batch) -> Tensor:
        """The logits (M, B, C) of all teachers."""
        assert batch.teacher is not None
        return torch.stack([batch.teacher.logits, *(mentor.logits for mentor in batch.mentors)]).float()

    def terms(self, batch: Batch, state: nn.Module | None) -> dict[str, Term]:
        """The teachers' mean probabilities, and the critic."""
        assert state is not None
        logits, teachers = batch.student.logits.float(), self.teachers(batch)
        judged = scale_gradient(logits, -1.0) if self.critic_sign == "reversed" else logits
        return {
            "kd": Term(self.kd_weight, soft_cross_entropy(logits, teachers.softmax(2).mean(0))),
            "critic": Term(self.critic_weight, critic_loss(state(judged), state(teachers.mean(0)))),
        }

    def metrics(self, batch: Batch, state: nn.Module | None) -> dict[str, Tensor]:
        """How far the teachers are from their mean (KL), and the share of the student's rows taken for theirs."""
        assert state is not None
        teachers = self.teachers(batch)
        mean = teachers.softmax(2).mean(0).clamp(min=torch.finfo(torch.float32).tiny).log()
        spread = torch.stack([kl_rows(log_probs(teacher), mean).mean() for teacher in teachers]).mean()
        return {"spread": spread, "fooled": (state(batch.student.logits.float()) > 0).float().mean()}

    def arrays(self, batch: Batch, state: nn.Module | None) -> dict[str, Tensor]:
        """The teachers' mean probabilities (N, C)."""
        return {"target": self.teachers(batch).softmax(2).mean(0)}
