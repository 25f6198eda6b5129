r"""TAID: the student imitates a mixture of itself and the teacher that moves towards the teacher as the student learns.

With interpolation share $t$, the target is $p_t = \sigma((1 - t)\,\mathrm{sg}(z_s) + t\,z_t)$, where $\mathrm{sg}$
stops the gradient, and the loss is label weight $\lambda$ times $\mathrm{CE}(z_s, y)$ plus KD weight
$\alpha_{\mathrm{kd}}$ times $\mathrm{KL}(p_t\,\|\,\sigma(z_s))$. After each step $m$ tracks the relative decrease of
this KL as a moving average, $m = \beta m + (1 - \beta)\,(\mathrm{last} - \mathrm{now})/\mathrm{last}$. Then $t =
\min(1, \max(\mathrm{start} + (1 - \mathrm{start}) \cdot \mathrm{progress},\ t + \alpha\,\mathrm{sigmoid}(m)\,(1 -
t)))$, with the knobs $\alpha$ (`alpha`) and $\beta$ (`beta`): never behind a linear schedule, and ahead of it while
learning goes well.

Source: Shing, Misaki, Bao, Yokoi and Akiba, TAID: Temporally Adaptive Interpolated Distillation for Efficient Knowledge
Transfer in Language Models, ICLR 2025, arXiv 2501.16937; start .4, $\alpha$ 5e-4 and $\beta$ .99.

Departs from it: it is a method for language models, and its use on images is ours, as are the weights .1 and 1 of true
labels and mixture. A relative decrease counts as at least -1, so that one bad batch after a perfect one does not stop
the share for good; the first step counts as one without change, where the released code leaves the share as it is: it
is then $\alpha/2 \cdot (1 - \mathrm{start})$ behind ours, 1.5e-4 with the published constants. The loss that moves the
released share is a cross-entropy, the KL plus the mixture's entropy: its gradient is the same, its relative decrease is
not. In 300 simulated steps that made no difference with $\alpha$ 5e-4, as the linear schedule led, and at most 0.001
with 0.05.

Zero when: the teacher's and the student's logits of each row differ by a constant (the term "taid"); at share 0 its
value and its gradient are 0 whatever the student predicts.
"""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from kdcore.contracts.access import Grant
from kdcore.contracts.method import Batch, Method, Pair, Term
from kdcore.nn.losses import cross_entropy, kl, log_probs


def mixture(student_logits: Tensor, teacher_logits: Tensor, share: Tensor) -> Tensor:
    """Log-probabilities (B, C) of the target, constant.

    Args:
        student_logits: (B, C).
        teacher_logits: (B, C).
        share: scalar t in [0, 1].
    """
    return log_probs((1 - share) * student_logits.detach().float() + share * teacher_logits.float())


def taid_loss(student_logits: Tensor, teacher_logits: Tensor, share: Tensor) -> Tensor:
    """KL from the mixture at `share` to the student in nats, for logits (B, C)."""
    return kl(mixture(student_logits, teacher_logits, share), log_probs(student_logits))


def relative_decrease(last: Tensor, now: Tensor) -> Tensor:
    """(last - now) / last of two losses, at least -1; 0 where there is no last one, which is infinite then."""
    return torch.where(last.isfinite(), ((last - now) / (last + 1e-15)).clamp(min=-1), torch.zeros_like(now))


class Share(nn.Module):
    """What is remembered: the share, the moving average of the relative decrease, and the last loss."""

    share: Tensor
    trend: Tensor
    last: Tensor

    def __init__(self, start: float) -> None:
        super().__init__()
        self.register_buffer("share", torch.tensor(start))
        self.register_buffer("trend", torch.tensor(0.0))
        self.register_buffer("last", torch.tensor(torch.inf))

    def settle(self, loss: Tensor, line: float, alpha: float, beta: float) -> None:
        """One step: `loss` now, and the least share `line`."""
        self.trend.copy_(beta * self.trend + (1 - beta) * relative_decrease(self.last, loss))
        lead = alpha * self.trend.sigmoid() * (1 - self.share)
        self.share.copy_((self.share + lead).clamp(min=line).clamp(max=1))
        self.last.copy_(loss)


class TAID(Method):
    """Distillation from a target that moves."""

    title: ClassVar[str] = "TAID"
    family: ClassVar[str] = "logits"
    equation: ClassVar[str] = (
        r"\mathcal{L} = \lambda\,\mathrm{CE}(z_s, y) + \alpha_{\mathrm{kd}}\,\mathrm{KL}\big("
        r"\sigma((1-t)\,\mathrm{sg}(z_s) + t\,z_t)\,\|\,\sigma(z_s)\big)"
    )
    symbols: ClassVar[dict[str, str]] = {"label_weight": r"\lambda", "kd_weight": r"\alpha_{\mathrm{kd}}"}
    paper: ClassVar[str] = "Shing, Misaki, Bao, Yokoi and Akiba, ICLR 2025"
    needs: ClassVar[frozenset[Grant]] = frozenset({"probabilities"})
    fixed: ClassVar[frozenset[str]] = frozenset({"start"})
    start: float = Field(0.4, ge=0.0, le=1.0, description="The teacher's share at the first step.")
    alpha: float = Field(
        5e-4, ge=0.0, le=1.0, description="How far the share runs ahead of a linear schedule; 0 = never."
    )
    beta: float = Field(0.99, ge=0.0, lt=1.0, description="Momentum of the loss trend's moving average.")
    label_weight: float = Field(0.1, ge=0.0, le=100.0, description="Weight of the true labels.")
    kd_weight: float = Field(1.0, ge=0.0, le=100.0, description="Weight of the moving target.")

    def connect(self, pair: Pair) -> nn.Module:
        """The share."""
        return Share(self.start)

    def _loss(self, batch: Batch, state: nn.Module | None) -> Tensor:
        assert batch.teacher is not None
        assert isinstance(state, Share)
        return taid_loss(batch.student.logits, batch.teacher.logits, state.share)

    def terms(self, batch: Batch, state: nn.Module | None) -> dict[str, Term]:
        """Labels and the moving target."""
        return {
            "labels": Term(self.label_weight, cross_entropy(batch.student.logits, batch.labels)),
            "taid": Term(self.kd_weight, self._loss(batch, state)),
        }

    def metrics(self, batch: Batch, state: nn.Module | None) -> dict[str, Tensor]:
        """The teacher's share of the target in this step."""
        assert isinstance(state, Share)
        return {"share": state.share.clone()}

    def after_step(self, batch: Batch, state: nn.Module | None) -> None:
        """Move the share on."""
        assert isinstance(state, Share)
        line = self.start + (1 - self.start) * batch.progress
        state.settle(self._loss(batch, state), line, self.alpha, self.beta)

    def arrays(self, batch: Batch, state: nn.Module | None) -> dict[str, Tensor]:
        """The moving target."""
        assert batch.teacher is not None
        assert isinstance(state, Share)
        return {"target": mixture(batch.student.logits, batch.teacher.logits, state.share).exp()}
