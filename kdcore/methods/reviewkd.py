r"""ReviewKD: each stage of the student, helped by all its deeper stages, imitates the teacher's stage.

From the deepest level up, a 1x1 convolution brings the student's stage to a common width; the fused feature of the
deeper levels is enlarged to its size, and the two are added with weights between 0 and 1 for each position, which a
convolution predicts from both. The sum $U_\ell$ is passed to the next level, and a 3x3 convolution of it imitates the
teacher's stage $F_t^\ell$. The deepest level is the pooled feature. Imitation is measured on the map and on its
averages over 4x4, 2x2 and 1 parts, with weights that halve each time and are normalised to sum to 1 (HCL). The loss is
label weight $\lambda$ times $\mathrm{CE}(z_s, y)$ plus review weight $\gamma$ times $w$ times the sum of HCL over
levels, with $w$ rising from 0 to 1 early in the run.

Source: Chen, Liu, Zhao and Jia, Distilling Knowledge via Knowledge Review, CVPR 2021, arXiv 2104.09044; layers and
warm-up of 20 of 240 epochs as in the mdistiller benchmark, whose weights are 5 for ResNet8x4, .6 for ResNet20 and 1 for
ResNet32.

Departs from it: stages are those of the benchmark, the teacher's before their ReLU, but paired from the last backwards;
the first stages of a wide ResNet as a teacher are used directly, theirs after the normalisation that follows. A feature
without positions counts as a map of one, so the last stage of an MLP counts twice. The warm-up rises with every step.
Weight 1 is the benchmark's for ResNet32 only. Where a batch holds one value per channel, normalisation takes its
running statistics.

Zero when: the fused features of the student equal the teacher's at every level (the term "review").
"""

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from kdcore.contracts.access import Grant
from kdcore.contracts.method import Batch, Method, Pair, Term
from kdcore.contracts.net import Net, pooled, staged
from kdcore.nn.losses import cross_entropy, ramp
from kdcore.spec.compatibility import paired

WIDEST = 512  # channels of the common width, at most


def hierarchical_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """HCL: weighted mean of the mean squared differences of two maps (B, K, H, W), and of their coarser averages."""
    gap = student.float() - teacher.float()
    coarser = [F.adaptive_avg_pool2d(gap, parts) for parts in (4, 2, 1) if parts < min(gap.shape[2:])]
    losses = [0.5**halvings * each.square().mean() for halvings, each in enumerate((gap, *coarser))]
    return torch.stack(losses).sum() / (2 - 0.5 ** len(coarser))


def levels(features: Sequence[Tensor]) -> list[Tensor]:
    """Stage features (B, K, H, W) or (B, K) as maps, and the last one, which the head reads, pooled: (B, K, 1, 1)."""
    every = [*features[:-1], pooled(features[-1])]
    return [feature.float() if feature.dim() == 4 else feature.float()[:, :, None, None] for feature in every]


def resized(maps: Tensor, size: tuple[int, ...]) -> Tensor:
    """Maps (B, K, H, W) at another size, by the nearest position; themselves where they have it."""
    return maps if maps.shape[2:] == size else F.interpolate(maps, size)


class _Norm(nn.BatchNorm2d):
    """Batch normalisation that takes its running statistics where it sees one value per channel."""

    def forward(self, input: Tensor) -> Tensor:
        """From (B, K, H, W) to the same shape."""
        if self.training and input.numel() > self.num_features:
            return super().forward(input)
        return F.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)


def _as_released(layer: nn.Module) -> None:
    """Initialise a convolution without bias as the released code does."""
    if isinstance(layer, nn.Conv2d) and layer.bias is None:
        nn.init.kaiming_uniform_(layer.weight, a=1)


class Fusion(nn.Module):
    """One level: mixes the student's stage with what the deeper levels found.

    Args:
        inputs: channels of the student's stage.
        middle: the common width.
        teacher: (K, H, W) or (K,), what is imitated.
        deepest: nothing to be mixed in.
    """

    def __init__(self, inputs: int, middle: int, teacher: tuple[int, ...], deepest: bool) -> None:
        super().__init__()
        self.size = teacher[1:] or (1, 1)
        self.reduce = nn.Sequential(nn.Conv2d(inputs, middle, 1, bias=False), _Norm(middle))
        self.attend = None if deepest else nn.Sequential(nn.Conv2d(2 * middle, 2, 1), nn.Sigmoid())
        self.imitate = nn.Sequential(nn.Conv2d(middle, teacher[0], 3, padding=1, bias=False), _Norm(teacher[0]))
        self.apply(_as_released)

    def forward(self, feature: Tensor, deeper: Tensor | None) -> tuple[Tensor, Tensor]:
        """The imitation, of the teacher's shape, and the mix that goes on, of the common width and that size.

        Args:
            feature: (B, K, H, W) of the student.
            deeper: (B, middle, h, w), the mix of the level below; None at the deepest.
        """
        mixed: Tensor = self.reduce(feature)
        if self.attend is not None and deeper is not None:
            own, theirs = self._weights(mixed, deeper)
            mixed = own * mixed + theirs * resized(deeper, mixed.shape[2:])
        mixed = resized(mixed, self.size)
        return self.imitate(mixed), mixed

    def _weights(self, mixed: Tensor, deeper: Tensor) -> tuple[Tensor, ...]:
        """How much of both goes on, (B, 1, H, W) each: `attend` of the two as one map of that size.

        What it reads of the deeper one is enlarged after it is read, which comes to the same and costs a quarter.
        """
        assert self.attend is not None
        convolution, squash = self.attend
        assert isinstance(convolution, nn.Conv2d)
        ours, theirs = convolution.weight.chunk(2, dim=1)
        read = resized(F.conv2d(deeper, theirs), mixed.shape[2:])
        weights: Tensor = squash(F.conv2d(mixed, ours, convolution.bias) + read)
        return weights.chunk(2, dim=1)


class Review(nn.Module):
    """The levels of a pair of networks, from the deepest up.

    Args:
        stages: shapes of student and teacher, in pairs, the deepest last.
    """

    def __init__(self, stages: Sequence[tuple[tuple[int, ...], tuple[int, ...]]]) -> None:
        super().__init__()
        middle = min(WIDEST, stages[-1][0][0])
        self.fusions = nn.ModuleList(
            Fusion(student[0], middle, teacher, deepest=not level)
            for level, (student, teacher) in enumerate(reversed(stages))
        )

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        """The imitation of each level, the deepest first, from the student's maps, the deepest last."""
        found, mixed = [], None
        for fusion, feature in zip(self.fusions, reversed(features), strict=True):
            imitation, mixed = fusion(feature, mixed)
            found.append(imitation)
        return found


class ReviewKD(Method):
    """Distillation of all stages, each reviewed with the deeper ones."""

    title: ClassVar[str] = "ReviewKD"
    family: ClassVar[str] = "features"
    equation: ClassVar[str] = (
        r"\mathcal{L} = \lambda\,\mathrm{CE}(z_s, y) + w\,\gamma \sum_{\ell} "
        r"\mathrm{HCL}\big(U_\ell(F_s^\ell, F_s^{\ell+1}, \dots, F_s^{L}),\, F_t^\ell\big)"
    )
    symbols: ClassVar[dict[str, str]] = {"label_weight": r"\lambda", "review_weight": r"\gamma"}
    paper: ClassVar[str] = "Chen, Liu, Zhao and Jia, CVPR 2021"
    needs: ClassVar[frozenset[Grant]] = frozenset({"features"})
    label_weight: float = Field(1.0, ge=0.0, le=100.0, description="Weight of the true labels.")
    review_weight: float = Field(1.0, ge=0.0, le=100.0, description="Weight of the teacher's stages.")
    warmup: float = Field(0.083, ge=0.0, le=1.0, description="Share of the run in which distillation fades in.")

    def wrap_student(self, student: Net) -> Net:
        """The student's stages, and what its head reads."""
        return staged(student, closing=True)

    def wrap_teacher(self, teacher: Net) -> Net:
        """The teacher's stages before their ReLU, and what its head reads."""
        return staged(teacher, before_relu=True, closing=True)

    def connect(self, pair: Pair) -> Review:
        """The fusions of all levels."""
        return Review([*paired(pair.student[:-1], pair.teacher[:-1]), (pair.student[-1][:1], pair.teacher[-1][:1])])

    def terms(self, batch: Batch, state: nn.Module | None) -> dict[str, Term]:
        """Labels and the review."""
        assert state is not None
        assert batch.teacher is not None
        student, teacher = zip(*paired(levels(batch.student.features), levels(batch.teacher.features)), strict=True)
        losses = [hierarchical_loss(*level) for level in zip(state(student), reversed(teacher), strict=True)]
        return {
            "labels": Term(self.label_weight, cross_entropy(batch.student.logits, batch.labels)),
            "review": Term(ramp(batch.progress, self.warmup) * self.review_weight, torch.stack(losses).sum()),
        }
