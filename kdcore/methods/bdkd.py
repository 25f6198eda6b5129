r"""Balanced divergences: teacher and student learn together; each row decides how forward and reverse KL weigh.

Let $p$ and $q$ be the softmax of teacher and student at temperature $T$, and $H$ the entropy at temperature 1; a bar
marks a constant, through which no gradient flows. The student's loss is label weight $\lambda$ times $\mathrm{CE}(z_s,
y)$ plus KD weight $\alpha$ times the batch mean of $T^2(f\,\mathrm{KL}(\bar p\,\|\,q) + r\,\mathrm{KL}(q\,\|\,\bar
p))$. Where $H(p) > H(q)$ the student is overconfident: $f$ is `balance` and $r = 1 - f$, as the forward divergence
spreads it out. Elsewhere $f$ and $r$ swap, as the reverse divergence sharpens it. The teacher keeps training on
$\lambda\,\mathrm{CE}(z_t, y)$ plus teacher weight $\beta$ times $T^2\,\mathrm{KL}(p\,\|\,\bar q)$.

Source: Amara, Sepahvand, Meyer, Gross and Clark, BD-KD: Balancing the Divergences for Online Knowledge Distillation,
arXiv 2212.12965.

Departs from it: that the entropy gap switches two weights per row is theirs, but we found no published rule; balance
0.75, temperature 1 and all weights are ours. The teacher that keeps training is a copy of the trained one, where the
paper starts both anew; the original stays as it is, and every comparison with the teacher is with the original.

Zero when: the logits of the two networks differ by a constant in each row (the terms "kd" and "teacher").
"""

import copy
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from kdcore.contracts.access import Grant
from kdcore.contracts.method import Batch, Method, Pair, Term
from kdcore.contracts.net import Net
from kdcore.nn.losses import cross_entropy, kd_loss, kl_rows, log_probs


def entropies(logits: Tensor) -> Tensor:
    """Entropy in nats (B,) of the softmax of logits (B, C)."""
    log_p = log_probs(logits)
    return -(log_p.exp() * log_p).sum(1)


def forward_weights(student_logits: Tensor, teacher_logits: Tensor, balance: float) -> Tensor:
    """Weight (B,) of the forward divergence: `balance` where the teacher is less sure, 1 - balance elsewhere."""
    spread = entropies(teacher_logits) > entropies(student_logits)
    return torch.where(spread, balance, 1.0 - balance)


def balanced(student_logits: Tensor, teacher_logits: Tensor, temperature: float, balance: float) -> Tensor:
    """T^2 times the mean of the two divergences in nats, weighted row by row.

    Args:
        student_logits: (B, C).
        teacher_logits: (B, C), constant.
        temperature: T > 0.
        balance: of the divergence that the row favours.
    """
    ours, theirs = log_probs(student_logits, temperature), log_probs(teacher_logits, temperature)
    forward = forward_weights(student_logits.detach(), teacher_logits, balance)
    rows = forward * kl_rows(theirs, ours) + (1.0 - forward) * kl_rows(ours, theirs)
    return rows.mean() * temperature**2


def trainable_copy(net: Net) -> Net:
    """The same network with weights and statistics of its own that learn; the memo says what a tensor's copy is."""
    weights = {id(weight): nn.Parameter(weight.detach().clone()) for weight in net.parameters()}
    return copy.deepcopy(net, weights | {id(buffer): buffer.clone() for buffer in net.buffers()})


class BDKD(Method):
    """Online distillation with both divergences."""

    title: ClassVar[str] = "Balanced divergences"
    family: ClassVar[str] = "logits"
    equation: ClassVar[str] = (
        r"\mathcal{L} = \lambda\big(\mathrm{CE}(z_s, y) + \mathrm{CE}(z_t, y)\big)"
        r" + \alpha\,T^2\big(f\,\mathrm{KL}(\bar p\,\|\,q) + r\,\mathrm{KL}(q\,\|\,\bar p)\big)"
        r" + \beta\,T^2\,\mathrm{KL}(p\,\|\,\bar q)"
    )
    symbols: ClassVar[dict[str, str]] = {
        "temperature": "T",
        "label_weight": r"\lambda",
        "kd_weight": r"\alpha",
        "teacher_weight": r"\beta",
    }
    paper: ClassVar[str] = "Amara, Sepahvand, Meyer, Gross and Clark, arXiv 2022"
    needs: ClassVar[frozenset[Grant]] = frozenset({"blocks"})
    temperature: float = Field(1.0, ge=0.1, le=100.0, description="Softens both distributions; 1 = no softening.")
    label_weight: float = Field(1.0, ge=0.0, le=100.0, description="Weight of the true labels, for both networks.")
    kd_weight: float = Field(1.0, ge=0.0, le=100.0, description="Weight of the student's two divergences.")
    teacher_weight: float = Field(1.0, ge=0.0, le=100.0, description="Weight of the teacher's divergence.")
    balance: float = Field(0.75, ge=0.5, le=1.0, description="Share of the divergence that is weighted more in a row.")

    def connect(self, pair: Pair) -> nn.Module:
        """A copy of the teacher that goes on learning."""
        assert pair.teacher_net is not None
        return trainable_copy(pair.teacher_net)

    def terms(self, batch: Batch, state: nn.Module | None) -> dict[str, Term]:
        """Labels of both, the student's balanced divergence, and the teacher's."""
        assert state is not None
        ours, theirs = batch.student.logits, state(batch.inputs).logits
        labels = cross_entropy(ours, batch.labels) + cross_entropy(theirs, batch.labels)
        return {
            "labels": Term(self.label_weight, labels),
            "kd": Term(self.kd_weight, balanced(ours, theirs.detach(), self.temperature, self.balance)),
            "teacher": Term(self.teacher_weight, kd_loss(ours.detach(), theirs, self.temperature)),
        }

    def arrays(self, batch: Batch, state: nn.Module | None) -> dict[str, Tensor]:
        """The teacher as it is now: logits (1, N, C), probabilities (N, C), and the forward weight of each row (N,)."""
        assert state is not None
        logits = state(batch.inputs).logits
        forward = forward_weights(batch.student.logits, logits, self.balance)
        return {"paths": logits[None], "target": log_probs(logits).exp(), "forward_weight": forward}
