r"""SimKD: the student learns the teacher's last feature through a projector and reuses the teacher's classifier.

The network that is trained and kept is the student's blocks, a projector $P$ (1x1, 3x3 and 1x1 convolutions, each with
normalisation and ReLU) and the teacher's own head, which stays frozen. The loss is feature weight $\gamma$ times the
mean over all elements of $(P(F_s) - F_t)^2$, with $F_s$ and $F_t$ the last stages' features; labels are not used.

Source: Chen, Mei, Zhang, Wang, Feng and Chen, Knowledge Distillation with the Reused Teacher Classifier, CVPR 2022,
arXiv 2203.14001; the projector's inner layers have half of the teacher's channels as there.

Departs from it: the student's map is projected at its own size, theirs is averaged to the teacher's size before where
it is larger; the loss compares both averaged to the smaller of the sizes, as theirs does. Where one of the two features
is a vector, the student's is averaged over its positions and the convolutions are 1x1; a projected vector ends without
a ReLU, as the teacher's may be negative.

Zero when: the projected feature equals the teacher's; student and teacher then give the same logits.
"""

from typing import ClassVar

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from kdcore.contracts.access import Grant
from kdcore.contracts.method import Batch, Method, Term
from kdcore.contracts.net import Net, pooled
from kdcore.nn.connectors import aligned
from kdcore.nn.heads import Frozen, Reading, reading


def feature_loss(projected: Tensor, feature: Tensor) -> Tensor:
    """Mean squared difference of two features, both (B, K) or both maps (B, K, H, W), which may differ in size."""
    if projected.dim() == 4:
        projected, feature = aligned(projected, feature)
    return F.mse_loss(projected.float(), feature.float())


class _Position(nn.Module):
    """The mean over all positions, as a map of one."""

    def forward(self, x: Tensor) -> Tensor:
        """From (B, K, H, W) or (B, K) to (B, K, 1, 1)."""
        return pooled(x)[:, :, None, None]


def projector(student: Reading, teacher: Reading, reduction: int) -> nn.Sequential:
    """Layers from the student's last feature to what the teacher's head reads, narrower inside by `reduction`."""
    inputs, outputs = student.weight.shape[1], teacher.weight.shape[1]
    middle, maps = max(1, outputs // reduction), student.maps and teacher.maps
    kernel = 3 if maps else 1
    layers = [
        *([] if maps else [_Position()]),
        nn.Conv2d(inputs, middle, 1, bias=False), nn.BatchNorm2d(middle), nn.ReLU(),
        nn.Conv2d(middle, middle, kernel, padding=kernel // 2, bias=False), nn.BatchNorm2d(middle), nn.ReLU(),
        nn.Conv2d(middle, outputs, 1, bias=False), nn.BatchNorm2d(outputs),
        nn.ReLU() if teacher.maps else nn.Flatten(),
    ]  # fmt: skip
    return nn.Sequential(*layers)


class SimKD(Method):
    """The teacher's classifier on a projected student."""

    title: ClassVar[str] = "SimKD"
    family: ClassVar[str] = "features"
    equation: ClassVar[str] = r"\mathcal{L} = \frac{\gamma}{|F_t|}\,\lVert P(F_s) - F_t \rVert_2^2"
    symbols: ClassVar[dict[str, str]] = {"feature_weight": r"\gamma"}
    paper: ClassVar[str] = "Chen, Mei, Zhang, Wang, Feng and Chen, CVPR 2022"
    needs: ClassVar[frozenset[Grant]] = frozenset({"blocks", "features"})
    fixed: ClassVar[frozenset[str]] = frozenset({"reduction"})
    feature_weight: float = Field(1.0, ge=0.0, le=1000.0, description="Weight of the teacher's last feature.")
    reduction: int = Field(
        2, ge=1, le=64, description="The projector's inner channels are the teacher's divided by this."
    )

    def adapt_student(self, student: Net, teacher: Net | None) -> Net:
        """The student's blocks, the projector as a last one, and the teacher's head.

        Raises:
            BadInput: one of the heads is more than pooling and a linear layer.
        """
        assert teacher is not None
        joint = projector(reading(student, self.title), reading(teacher, self.title), self.reduction)
        return Net([*student.blocks, joint], Frozen(teacher.head))

    def terms(self, batch: Batch, state: nn.Module | None) -> dict[str, Term]:
        """The teacher's last feature."""
        assert batch.teacher is not None
        value = feature_loss(batch.student.features[-1], batch.teacher.features[-1])
        return {"feature": Term(self.feature_weight, value)}
