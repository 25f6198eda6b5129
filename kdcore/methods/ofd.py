r"""OFD: the student imitates the teacher's features before the ReLU, as far as the ReLU and a margin distinguish them.

Stages are compared before the ReLU that ends them. The teacher's side goes through a margin ReLU, $\max(F_t, m)$, where
$m \le 0$ is, for each channel, the mean of its negative responses. The student's side goes through a 1x1 convolution
and a normalisation, $r(F_s)$. Where the target is not positive and the student is already below it, there is no loss
(partial L2): the distance $d_p$ sums $(r(F_s) - \max(F_t, m))^2$ over all positions, but counts 0 where $r(F_s) \le
\max(F_t, m) \le 0$, and is averaged over the batch. With $n$ stages the loss is label weight $\lambda$ times
$\mathrm{CE}(z_s, y)$ plus feature weight $\gamma$ times the sum of the stages' distances, stage $i$ weighted by
$1/2^{n-i}$.

Source: Heo, Kim, Yun, Park, Kwak and Choi, A Comprehensive Overhaul of Feature Distillation, ICCV 2019, arXiv
1904.01866; weight 1e-3 for CIFAR as in its published code.

Departs from it: the margin is measured on up to 2048 training rows, where the published code derives it from the
parameters of the preceding normalisation, assuming Gaussian responses, and takes -3 deviations where fewer than one in
1000 are negative; the teacher stays in eval mode, where the code leaves it in train mode. Stages are those of the
mdistiller benchmark. Maps of unlike sizes are joined by a strided, transposed or resampled convolution, where the code
averages the teacher's, and a feature without positions by a linear layer; convolutions have a bias and PyTorch's
default initialisation. Where a stage ends in no ReLU of its own (the first stages of a wide ResNet, MobileNetV2's,
torchvision's ResNets) its feature is used directly, where the code takes the normalisation that follows in a wide
ResNet.

Zero when: every regressed feature of the student equals the teacher's behind the margin ReLU, or lies below it where it
is not positive (the term "features").
"""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from kdcore.contracts.access import Grant
from kdcore.contracts.method import Batch, Method, Pair, Term
from kdcore.contracts.net import CHUNK, Net, pooled, staged
from kdcore.nn.connectors import connector
from kdcore.nn.losses import cross_entropy, halving
from kdcore.spec.compatibility import paired

MARGIN_ROWS = 2048  # training rows that margins are measured on, at most


def partial_l2(student: Tensor, target: Tensor) -> Tensor:
    """The sum of squared differences of two features (B, ...), but of places where student <= target <= 0; per row."""
    asked = (student > target) | (target > 0)
    return ((student - target).square() * asked).sum() / len(target)


def negatives(feature: Tensor) -> Tensor:
    """The sum and the number (2, K) of the negative values of each channel of a feature (B, K, H, W) or (B, K)."""
    channels = feature.float().transpose(0, 1).flatten(1)
    return torch.stack((channels.clamp(max=0).sum(1), (channels < 0).sum(1)))


class Overhaul(nn.Module):
    """The regressors of all pairs of stages, the deepest last, and the margins of the teacher's channels."""

    def __init__(self, regressors: list[nn.Module], found: list[Tensor]) -> None:
        super().__init__()
        self.regressors = nn.ModuleList(regressors)
        for place, margin in enumerate(found):
            self.register_buffer(f"margin_{place}", margin)

    def forward(self, student: Tensor, teacher: Tensor, place: int) -> tuple[Tensor, Tensor]:
        """What is compared at a place: the student's feature regressed, and the teacher's behind its margin."""
        regressed = self.regressors[place](student.float()).float()
        margin = self.get_buffer(f"margin_{place}")
        wanted = (pooled(teacher) if regressed.dim() == 2 else teacher).float()
        return regressed, torch.maximum(wanted, margin.view(-1, *[1] * (wanted.dim() - 2)))


class OFD(Method):
    """Distillation of all stages before their ReLU."""

    title: ClassVar[str] = "Overhaul of feature distillation"
    family: ClassVar[str] = "features"
    equation: ClassVar[str] = (
        r"\mathcal{L} = \lambda\,\mathrm{CE}(z_s, y) + \gamma \sum_{i=1}^{n} \tfrac{1}{2^{n-i}}\, "
        r"d_p\big(r_i(F_s^i),\, \max(F_t^i, m_i)\big),\quad d_p(s, t) = \sum_j (s_j - t_j)^2\, "
        r"\mathbb{1}[s_j > t_j \vee t_j > 0]"
    )
    symbols: ClassVar[dict[str, str]] = {"label_weight": r"\lambda", "feature_weight": r"\gamma"}
    paper: ClassVar[str] = "Heo et al., ICCV 2019"
    needs: ClassVar[frozenset[Grant]] = frozenset({"features", "blocks"})
    label_weight: float = Field(1.0, ge=0.0, le=100.0, description="Weight of the true labels.")
    feature_weight: float = Field(
        1e-3, ge=0.0, le=10.0, description="Weight of the features; it counts for each place of a map."
    )

    def wrap_student(self, student: Net) -> Net:
        """The student, cut before the ReLU of each stage."""
        return staged(student, before_relu=True)

    def wrap_teacher(self, teacher: Net) -> Net:
        """The teacher, cut likewise."""
        return staged(teacher, before_relu=True)

    @torch.no_grad()
    def connect(self, pair: Pair) -> Overhaul:
        """The regressors, and the margins from the teacher's features of training rows."""
        assert pair.teacher_net is not None
        assert pair.inputs is not None
        assert pair.shown is not None
        stages = paired(pair.student, pair.teacher)
        found = [torch.zeros(2, theirs[0], device=pair.labels.device) for _, theirs in stages]
        for rows in torch.split(pair.shown[:: -(-len(pair.shown) // MARGIN_ROWS)], CHUNK):
            features = pair.teacher_net(pair.inputs(rows)).features[-len(stages) :]
            found = [sums + negatives(feature) for sums, feature in zip(found, features, strict=True)]
        margins = [total / count.clamp(min=1) for total, count in found]
        return Overhaul([connector(*shapes, "none") for shapes in stages], margins)

    def terms(self, batch: Batch, state: nn.Module | None) -> dict[str, Term]:
        """Labels and the features of all stages."""
        assert state is not None
        assert batch.teacher is not None
        stages = paired(batch.student.features, batch.teacher.features)
        losses = [partial_l2(*state(*stage, place)) for place, stage in enumerate(stages)]
        return {
            "labels": Term(self.label_weight, cross_entropy(batch.student.logits, batch.labels)),
            "features": Term(self.feature_weight, halving(losses)),
        }
