r"""V_kD: the student's features, rotated into the teacher's space but not reshaped, match its normalised ones.

The loss is label weight $\lambda$ times $\mathrm{CE}(z_s, y)$ plus feature weight $\alpha$ times the mean of $h(P f_s -
\mathrm{LayerNorm}(f_t))$, with $f$ the features before the classifier, $h$ the Huber function with threshold 1, and
LayerNorm giving each row mean 0 and variance 1. The map $P$ is trained with the student, but its columns stay
orthonormal, $P^\top P = I$, so it can rotate the student's features but preserves all distances and angles among them:
the student itself has to do the learning.

Source: Miles, Elezi and Deng, V_kD: Improving Knowledge Distillation using Orthogonal Projections, CVPR 2024, arXiv
2403.06213.

Departs from it: $P$ is the orthonormal part of a free matrix (Gram-Schmidt), so that weight decay cannot harm it. There
is no distillation token, and therefore no KL term for it. The paper trains transformers on ImageNet and gives no weight
for networks of this size; 50 is ours, chosen on held-out coloured digits. Where the student is wider than the teacher,
the rows of $P$ are orthogonal.

Zero when: the student's features are the teacher's normalised ones, up to the rotation $P$ (the term "features").
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from kdcore.contracts.access import Grant
from kdcore.contracts.method import Batch, Method, Pair, Term
from kdcore.contracts.net import pooled
from kdcore.nn.losses import cross_entropy


def orthonormal(weight: Tensor) -> Tensor:
    """Gram-Schmidt of the columns of a matrix (M, K), or of its rows where they are fewer; the same shape, float32."""
    if len(weight) < weight.shape[1]:
        return orthonormal(weight.T).T
    q, r = torch.linalg.qr(weight.float())
    columns: Tensor = q * torch.where(r.diagonal() < 0, -1.0, 1.0)
    return columns


def projected_loss(student: Tensor, teacher: Tensor, projection: Tensor) -> Tensor:
    """Mean Huber loss of P f_s against the layer-normalised f_t.

    Args:
        student: (B, K).
        teacher: (B, M), constant.
        projection: P, (M, K).
    """
    target = F.layer_norm(teacher.float(), teacher.shape[1:])
    return F.smooth_l1_loss(student.float() @ projection.T, target)


class VkD(Method):
    """Distillation of features through a map that is orthogonal."""

    title: ClassVar[str] = "V_kD"
    family: ClassVar[str] = "features"
    equation: ClassVar[str] = (
        r"\mathcal{L} = \lambda\,\mathrm{CE}(z_s, y) + \alpha\,h\big(P f_s - \mathrm{LayerNorm}(f_t)\big),"
        r"\quad P^\top P = I"
    )
    symbols: ClassVar[dict[str, str]] = {"label_weight": r"\lambda", "feature_weight": r"\alpha"}
    paper: ClassVar[str] = "Miles, Elezi and Deng, CVPR 2024"
    needs: ClassVar[frozenset[Grant]] = frozenset({"features"})
    rate: ClassVar[float] = 0.5
    label_weight: float = Field(1.0, ge=0.0, le=100.0, description="Weight of the true labels.")
    feature_weight: float = Field(50.0, ge=0.0, le=1000.0, description="Weight of the teacher's features.")
    orthogonal: bool = Field(
        True, description="Keep the map orthogonal; off = an unconstrained linear map, for comparison."
    )

    def connect(self, pair: Pair) -> nn.Linear:
        """Return the free matrix that the map is made of."""
        return nn.Linear(pair.student[-1][0], pair.teacher[-1][0], bias=False)

    def terms(self, batch: Batch, state: nn.Module | None) -> dict[str, Term]:
        """Labels and features."""
        assert isinstance(state, nn.Linear)
        assert batch.teacher is not None
        student, teacher = pooled(batch.student.features[-1]), pooled(batch.teacher.features[-1])
        projection = orthonormal(state.weight) if self.orthogonal else state.weight
        return {
            "labels": Term(self.label_weight, cross_entropy(batch.student.logits, batch.labels)),
            "features": Term(self.feature_weight, projected_loss(student, teacher, projection)),
        }
