r"""Dual-head distillation: one head of the student learns the labels, a second the teacher's logits.

The second head outputs $z_2$ and is discarded after training. With $d = (z_2 - z_t)/T$ and $s$ the sigmoid, the loss is
label weight $\lambda$ times $\mathrm{CE}(z_s, y)$ plus $\alpha\,T^2$ times the sum over classes of $\mathrm{KL}((1/2,
1/2)\,\|\,(s(d), 1 - s(d)))$, which is $T^2\sum_c \log\cosh(d_c/2)$: about the squared error for small gaps, with a
gradient of at most $T/2$ for large ones. With `align`, where the second head's gradient $g$ on the student's weights
opposes the first's, $g_{ce}$, its component along $g_{ce}$ is removed. That equals adding $\alpha\,\mathrm{relu}(-g
\cdot g_{ce})/\lVert g_{ce}\rVert^2$ to the weight of $g_{ce}$, which the term "align" does; its value is always 0, as
it only changes the gradient.

Source: Yang, Zong, Huang, Feng and An, Dual-Head Knowledge Distillation: Enhancing Logits Utilization with an Auxiliary
Head, 2024, arXiv 2411.08937; $T$ 2, $\alpha$ 1, the non-linear head and alignment as in the released example for
CIFAR-100.

Departs from it: the released code clamps $s(d)$ between 1e-8 and 1 - 1e-8, which stops the gradient of gaps below $-18
T$ and, as single precision rounds 1 - 1e-8 to 1, makes the loss infinite for gaps above $17 T$; there is no clamp here.
The non-linear head has layer normalisation in the place of batch normalisation, so that a batch may have one row, and
both heads read the last stage averaged over positions. All weights of the student count as one vector, as in the
released code; the second head keeps its own gradient.

Zero when: the second head's logits equal the teacher's (the term "logits").
"""

import math
from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from kdcore.contracts.access import Grant
from kdcore.contracts.method import Batch, Method, Pair, Term
from kdcore.contracts.net import pooled
from kdcore.nn.losses import cross_entropy

HIDDEN = 200  # units of the non-linear head


def log_cosh_loss(logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """T^2 log cosh of half the gap over T, summed over classes, averaged over the batch, for logits (B, C)."""
    size = (logits.float() - teacher_logits.float()).abs() / temperature  # log cosh(x / 2) without overflow:
    return (size / 2 + F.softplus(-size) - math.log(2)).sum() * temperature**2 / len(size)


def conflict(gradient: Tensor, other: Tensor) -> Tensor:
    """relu(-g . h) / |g|^2 of two vectors g and h: how much of g makes h + it no longer oppose g."""
    return (-(gradient @ other)).relu() / gradient.square().sum().clamp(min=1e-30)


def flat_gradient(loss: Tensor, weights: Sequence[Tensor]) -> Tensor:
    """The gradient of a scalar on all weights as one vector, 0 where it does not reach; its graph is kept."""
    parts = torch.autograd.grad(loss, weights, retain_graph=True, allow_unused=True, materialize_grads=True)
    return torch.cat([part.flatten() for part in parts])


def bend(labels: Tensor, logits: Tensor, weights: Sequence[Tensor]) -> Tensor:
    """A scalar of value 0 whose gradient is that of `labels` times its conflict with that of `logits`.

    Args:
        labels, logits: scalars, losses of the student.
        weights: on which the two gradients are compared.
    """
    share = conflict(flat_gradient(labels, weights), flat_gradient(logits, weights))
    return share * (labels - labels.detach())


def second_head(kind: str, width: int, classes: int) -> nn.Module:
    """From pooled features (B, width) to logits (B, classes)."""
    if kind == "linear":
        return nn.Linear(width, classes)
    layers = nn.Linear(width, HIDDEN), nn.Dropout(0.1), nn.LayerNorm(HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, classes)
    return nn.Sequential(*layers)


class DHKD(Method):
    """Distillation into a second head."""

    title: ClassVar[str] = "Dual-head KD"
    family: ClassVar[str] = "logits"
    equation: ClassVar[str] = (
        r"\mathcal{L} = \lambda\,\mathrm{CE}(z_s, y) + \alpha\,T^2\sum_c \log\cosh\frac{z_{2,c} - z_{t,c}}{2T}"
    )
    symbols: ClassVar[dict[str, str]] = {"temperature": "T", "label_weight": r"\lambda", "alpha": r"\alpha"}
    paper: ClassVar[str] = "Yang, Zong, Huang, Feng and An, arXiv 2024"
    needs: ClassVar[frozenset[Grant]] = frozenset({"logits"})
    fixed: ClassVar[frozenset[str]] = frozenset({"head"})
    head: Literal["linear", "mlp"] = Field("mlp", description="The second head: one layer, or two with 200 units.")
    temperature: float = Field(
        2.0, ge=0.1, le=100.0, description="Gaps well above it have a gradient of constant size."
    )
    label_weight: float = Field(1.0, ge=0.0, le=100.0, description="Weight of the true labels.")
    alpha: float = Field(1.0, ge=0.0, le=100.0, description="Weight of the teacher's logits.")
    align: bool = Field(
        True, description="Remove the gradient that opposes the labels; costs two more backward passes."
    )

    def connect(self, pair: Pair) -> nn.Module:
        """The second head."""
        return second_head(self.head, pair.student[-1][0], pair.classes)

    def terms(self, batch: Batch, state: nn.Module | None) -> dict[str, Term]:
        """Labels, the second head's logits, and the bend of the gradient."""
        assert batch.teacher is not None
        second = self._second(batch, state)
        labels = cross_entropy(batch.student.logits, batch.labels)
        logits = log_cosh_loss(second, batch.teacher.logits, self.temperature)
        terms = {"labels": Term(self.label_weight, labels), "logits": Term(self.alpha, logits)}
        if self.align and self.label_weight:
            weights = [weight for weight in batch.student_net.parameters() if weight.requires_grad]
            learns = labels.requires_grad and logits.requires_grad
            terms["align"] = Term(self.alpha, bend(labels, logits, weights) if learns else torch.zeros_like(labels))
        return terms

    def arrays(self, batch: Batch, state: nn.Module | None) -> dict[str, Tensor]:
        """The second head's logits."""
        return {"paths": self._second(batch, state)[None]}

    def _second(self, batch: Batch, state: nn.Module | None) -> Tensor:
        assert state is not None
        answer: Tensor = state(pooled(batch.student.features[-1].float()))
        return answer
