r"""One-for-all: every stage of the student gets its own exit classifier, and the teacher's output supervises each.

With $p$ and $q$ the probabilities of teacher and student and $y$ the label, the loss of an exit is $\ell(q) = -\sum_c
((p_c + 1_{c=y})^{\varepsilon} - 1_{c=y}) \log q_c$. The total is label weight $\lambda$ times $\mathrm{CE}(q, y)$ plus
KD weight $\alpha$ times $\ell(q)$ of the student's own output plus exit weight $\gamma$ times the sum of $\ell(q_i)$
over the exits. For exponent $\varepsilon = 1$, $\ell$ is the cross-entropy with the teacher's probabilities; a larger
$\varepsilon$ gives the label more weight. Between different architectures logits can be compared where features cannot,
so any teacher works. The exits are discarded after training.

Source: Hao, Guo, Han, Tang, Hu, Wang and Xu, One-for-All: Bridge the Gap Between Heterogeneous Architectures in
Knowledge Distillation, NeurIPS 2023, arXiv 2310.19444; $\varepsilon = 1$ as for CIFAR, 1.5 as for ImageNet; weights 1,
temperature 1.

Departs from it: an exit is one 3x3 convolution, with batch norm and ReLU, pooling and a linear layer, or two linear
layers where the stage is a vector; theirs depend on the network. There is an exit for each stage, theirs are four. On
unlabelled rows the teacher's prediction replaces $y$.

Zero when: never where the teacher is uncertain, as $\ell$ is a cross-entropy; for $\varepsilon = 1$ its minimum is the
teacher's entropy, where $q = p$.
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from kdcore.contracts.access import Grant
from kdcore.contracts.method import Batch, Method, Pair, Term
from kdcore.nn.connectors import Pooled
from kdcore.nn.losses import cross_entropy, log_probs


def ofa_loss(student_logits: Tensor, teacher_logits: Tensor, targets: Tensor, exponent: float) -> Tensor:
    """Cross-entropy in nats with the teacher's probabilities, the label's raised; the mean over rows.

    Args:
        student_logits: (B, C).
        teacher_logits: (B, C), constant.
        targets: (B,) int64, in [0, C).
        exponent: e, at least 1; 1 leaves the probabilities as they are.
    """
    is_target = F.one_hot(targets, student_logits.shape[1]).float()
    weights = (log_probs(teacher_logits).exp() + is_target) ** exponent - is_target
    return -(weights * log_probs(student_logits)).sum(1).mean()


def exit_head(shape: tuple[int, ...], classes: int) -> nn.Sequential:
    """Layers from a stage's feature (K, H, W) or (K,) to logits."""
    width = shape[0]
    first: list[nn.Module] = [nn.Linear(width, width), nn.ReLU()]
    if len(shape) == 3:
        first = [nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(), Pooled()]
    return nn.Sequential(*first, nn.Linear(width, classes))


class OFA(Method):
    """Exits in logit space."""

    title: ClassVar[str] = "One-for-all"
    family: ClassVar[str] = "features"
    equation: ClassVar[str] = (
        r"\mathcal{L} = \lambda\,\mathrm{CE}(q, y) + \alpha\,\ell(q) + \gamma \sum_i \ell(q_i), \quad"
        r"\ell(q) = -\sum_c \big((p_c + 1_{c=y})^{\varepsilon} - 1_{c=y}\big) \log q_c"
    )
    symbols: ClassVar[dict[str, str]] = {
        "label_weight": r"\lambda",
        "kd_weight": r"\alpha",
        "exit_weight": r"\gamma",
        "exponent": r"\varepsilon",
    }
    paper: ClassVar[str] = "Hao, Guo, Han, Tang, Hu, Wang and Xu, NeurIPS 2023"
    needs: ClassVar[frozenset[Grant]] = frozenset({"probabilities"})
    label_weight: float = Field(1.0, ge=0.0, le=100.0, description="Weight of the true labels.")
    kd_weight: float = Field(1.0, ge=0.0, le=100.0, description="Weight of the teacher at the student's own output.")
    exit_weight: float = Field(1.0, ge=0.0, le=100.0, description="Weight of the teacher at each exit.")
    exponent: float = Field(
        1.0, ge=1.0, le=4.0, description="Above 1 the label counts more than the teacher's probability."
    )

    def connect(self, pair: Pair) -> nn.Module:
        """An exit for each stage of the student."""
        return nn.ModuleList(exit_head(shape, pair.classes) for shape in pair.student)

    def terms(self, batch: Batch, state: nn.Module | None) -> dict[str, Term]:
        """Labels, the teacher at the student's answer, and the teacher at the exits."""
        assert batch.teacher is not None
        logits, teacher, targets = batch.student.logits, batch.teacher.logits, batch.targets
        exits = [ofa_loss(answer, teacher, targets, self.exponent) for answer in _exits(batch, state)]
        return {
            "labels": Term(self.label_weight, cross_entropy(logits, batch.labels)),
            "kd": Term(self.kd_weight, ofa_loss(logits, teacher, targets, self.exponent)),
            "exits": Term(self.exit_weight, torch.stack(exits).sum()),
        }

    def arrays(self, batch: Batch, state: nn.Module | None) -> dict[str, Tensor]:
        """The exits' logits (S, N, C), in order."""
        return {"paths": torch.stack(_exits(batch, state))}


def _exits(batch: Batch, state: nn.Module | None) -> list[Tensor]:
    """The logits (B, C) of each exit."""
    assert state is not None
    return [leave(feature.float()) for leave, feature in zip(state.children(), batch.student.features, strict=True)]
