r"""Deep mutual learning: two students of the same architecture teach each other as they learn.

Let $q$ be the student's and $p$ the peer's softmax at temperature $T$; a bar marks a constant. The loss is label weight
$\lambda$ times $\mathrm{CE}(z_s, y) + \mathrm{CE}(z_p, y)$ plus KD weight $\alpha$ times $T^2(\mathrm{KL}(\bar
p\,\|\,q) + \mathrm{KL}(\bar q\,\|\,p))$. Each divergence updates only its second network. The peer is discarded after
the run.

Source: Zhang, Xiang, Hospedales and Lu, Deep Mutual Learning, CVPR 2018, arXiv 1706.00384; $T = 1$ and weights 1.

Departs from it: one peer, identical to the student except for its initial weights; both networks are updated at once,
where the paper alternates.

Zero when: the logits of student and peer differ by a constant in each row (the terms "kd" and "peer").
"""

from typing import ClassVar

from pydantic import Field
from torch import Tensor, nn

from kdcore.contracts.method import Batch, Method, Pair, Term
from kdcore.nn.losses import cross_entropy, kd_loss


class DML(Method):
    """Two students, each the other's teacher."""

    title: ClassVar[str] = "Deep mutual learning"
    family: ClassVar[str] = "logits"
    equation: ClassVar[str] = (
        r"\mathcal{L} = \lambda\big(\mathrm{CE}(z_s, y) + \mathrm{CE}(z_p, y)\big)"
        r" + \alpha\,T^2\big(\mathrm{KL}(\bar p\,\|\,q) + \mathrm{KL}(\bar q\,\|\,p)\big)"
    )
    symbols: ClassVar[dict[str, str]] = {"temperature": "T", "label_weight": r"\lambda", "kd_weight": r"\alpha"}
    paper: ClassVar[str] = "Zhang, Xiang, Hospedales and Lu, CVPR 2018"
    temperature: float = Field(1.0, ge=0.1, le=100.0, description="Softens both distributions; 1 = no softening.")
    label_weight: float = Field(1.0, ge=0.0, le=100.0, description="Weight of the true labels, for both networks.")
    kd_weight: float = Field(1.0, ge=0.0, le=100.0, description="Weight of the mutual distillation.")

    def connect(self, pair: Pair) -> nn.Module:
        """The peer."""
        return pair.fresh()

    def terms(self, batch: Batch, state: nn.Module | None) -> dict[str, Term]:
        """Labels of both, and a divergence each way."""
        assert state is not None
        ours, theirs = batch.student.logits, state(batch.inputs).logits
        labels = cross_entropy(ours, batch.labels) + cross_entropy(theirs, batch.labels)
        return {
            "labels": Term(self.label_weight, labels),
            "kd": Term(self.kd_weight, kd_loss(ours, theirs.detach(), self.temperature)),
            "peer": Term(self.kd_weight, kd_loss(theirs, ours.detach(), self.temperature)),
        }

    def arrays(self, batch: Batch, state: nn.Module | None) -> dict[str, Tensor]:
        """The peer's logits (1, N, C)."""
        assert state is not None
        return {"paths": state(batch.inputs).logits[None]}
