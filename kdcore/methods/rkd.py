r"""Relational distillation: matches distances and angles between the samples of a batch, wherever the samples lie.

With $f$ the features before the classifier, the loss is label weight $\lambda$ times $\mathrm{CE}(z_s, y)$ plus
distance weight $\lambda_D$ times the mean over pairs of $h(d^s_{ij}, d^t_{ij})$ plus angle weight $\lambda_A$ times the
mean over triples of $h(a^s_{ijk}, a^t_{ijk})$. Here $d$ is the distance of two samples over the mean distance of two
different rows of the batch, $a$ the cosine of the angle that two samples form at a third, and $h$ the Huber loss with
threshold 1.

Source: Park, Kim, Lu and Cho, Relational Knowledge Distillation, CVPR 2019, arXiv 1904.05068, and its released code;
weights 25 and 50.

Departs from it: angles are taken among the first `angle_rows` rows of a batch, as their number grows with the cube; two
samples at the same point are 0 apart, theirs 1e-6, and contribute no gradient to angles, where theirs is multiplied by
1e12. For a batch that collapses to one point all distances are 0, where theirs are all 1.

Zero when: the student's features are the teacher's, translated, rotated, mirrored or scaled (the terms "distance",
"angle").
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from kdcore.contracts.access import Grant
from kdcore.contracts.method import Batch, Method, Term
from kdcore.contracts.net import pooled
from kdcore.nn.losses import cross_entropy


def _over(value: Tensor, size: Tensor) -> Tensor:
    """value / size, and 0 without a gradient where the size is 0."""
    return value / size.masked_fill(size == 0, torch.inf)


def relative_distances(features: Tensor) -> Tensor:
    """Distances (B, B) between the rows of features (B, K), over their mean off the diagonal."""
    distances = torch.cdist(features, features, compute_mode="donot_use_mm_for_euclid_dist")
    return _over(distances, distances.sum() / max(1, len(features) * (len(features) - 1)))


def angles(features: Tensor) -> Tensor:
    """Cosines (B, B, B): entry i, j, k is that of the angle at row i between rows j and k of features (B, K)."""
    edges = features[None] - features[:, None]
    unit = _over(edges, edges.norm(dim=2, keepdim=True))
    return unit @ unit.transpose(1, 2)


def distance_loss(student_features: Tensor, teacher_features: Tensor) -> Tensor:
    """Huber loss of relative distances, for features (B, K) and (B, K') of any two widths."""
    return F.smooth_l1_loss(relative_distances(student_features.float()), relative_distances(teacher_features.float()))


def angle_loss(student_features: Tensor, teacher_features: Tensor) -> Tensor:
    """Huber loss of cosines, for features (B, K) and (B, K') of any two widths."""
    return F.smooth_l1_loss(angles(student_features.float()), angles(teacher_features.float()))


class RKD(Method):
    """Distillation of the geometry of a batch."""

    title: ClassVar[str] = "Relational KD"
    family: ClassVar[str] = "relations"
    equation: ClassVar[str] = (
        r"\mathcal{L} = \lambda\,\mathrm{CE}(z_s, y) + \lambda_D\,\frac{1}{B^2}\sum_{i,j} h(d^s_{ij}, d^t_{ij})"
        r" + \lambda_A\,\frac{1}{B^3}\sum_{i,j,k} h(a^s_{ijk}, a^t_{ijk})"
    )
    symbols: ClassVar[dict[str, str]] = {
        "label_weight": r"\lambda",
        "distance_weight": r"\lambda_D",
        "angle_weight": r"\lambda_A",
    }
    paper: ClassVar[str] = "Park, Kim, Lu and Cho, CVPR 2019"
    needs: ClassVar[frozenset[Grant]] = frozenset({"features"})
    label_weight: float = Field(1.0, ge=0.0, le=100.0, description="Weight of the true labels.")
    distance_weight: float = Field(25.0, ge=0.0, le=1000.0, description="Weight of the distances of pairs.")
    angle_weight: float = Field(50.0, ge=0.0, le=1000.0, description="Weight of the angles of triples.")
    angle_rows: int = Field(128, ge=3, le=256, description="Rows of a batch whose angles are compared, at most.")

    def terms(self, batch: Batch, state: nn.Module | None) -> dict[str, Term]:
        """Labels, distances and angles."""
        assert batch.teacher is not None
        student, teacher = pooled(batch.student.features[-1]), pooled(batch.teacher.features[-1])
        rows = slice(self.angle_rows)
        return {
            "labels": Term(self.label_weight, cross_entropy(batch.student.logits, batch.labels)),
            "distance": Term(self.distance_weight, distance_loss(student, teacher)),
            "angle": Term(self.angle_weight, angle_loss(student[rows], teacher[rows])),
        }
