r"""Attention transfer: the student attends to the image regions that the teacher attends to.

A network's attention at a stage is a map: the squared features, averaged over channels and flattened, $m(F)$, then
divided by their norm, $Q = m / \lVert m\rVert_2$. The loss is label weight $\lambda$ times $\mathrm{CE}(z_s, y)$ plus
attention weight $\beta$ times the sum over stages of the mean of $(Q_s - Q_t)^2$ over samples and positions. The method
has no parameters, and the two networks may differ in width.

Source: Zagoruyko and Komodakis, Paying More Attention to Attention, ICLR 2017, arXiv 1612.03928; the mean over
positions and weight 1000 as in the mdistiller benchmark.

Departs from it: stages are those of the benchmark, but paired from the last one backwards, where it pairs them from the
first; pairs with no more than one position on a side are left out, as a single position leaves nothing to attend to.
The larger feature is averaged down to the smaller size, as the benchmark does. The mean over few positions is large, so
weight 1000 swamps the labels on small images (8x8).

Zero when: the squares of the student's feature, averaged over channels, are proportional to the teacher's at each
stage, as after a change of scale, sign or order of channels (the term "attention").
"""

from math import prod
from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from kdcore.contracts.access import Grant
from kdcore.contracts.method import Batch, Joins, Method, Pair, Term
from kdcore.contracts.net import Net, staged
from kdcore.nn.connectors import aligned
from kdcore.nn.losses import cross_entropy
from kdcore.spec.compatibility import paired, refuse_misfit


def attention(feature: Tensor) -> Tensor:
    """Where a feature (B, K, H, W) is large: (B, H * W), each row of length 1, or 0 where the feature is."""
    scale = feature.detach().float().abs().amax((1, 2, 3), keepdim=True).clamp(min=1e-30)
    return F.normalize((feature.float() / scale).square().mean(1).flatten(1))


def attention_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference of the attention of features (B, K, H, W) and (B, K', H', W').

    Both are averaged down to the smaller height and width first.
    """
    ours, theirs = map(attention, aligned(student, teacher))
    return (ours - theirs).square().mean()


class AT(Method):
    """Distillation of where a network looks."""

    title: ClassVar[str] = "Attention transfer"
    family: ClassVar[str] = "features"
    equation: ClassVar[str] = (
        r"\mathcal{L} = \lambda\,\mathrm{CE}(z_s, y) + \beta \sum_{\ell} \frac{1}{H_\ell W_\ell}\,\Big\lVert "
        r"\tfrac{m(F_s^\ell)}{\lVert m(F_s^\ell)\rVert_2} - \tfrac{m(F_t^\ell)}{\lVert m(F_t^\ell)\rVert_2} "
        r"\Big\rVert_2^2,\quad m(F) = \frac{1}{K}\sum_k F_k^2"
    )
    symbols: ClassVar[dict[str, str]] = {"label_weight": r"\lambda", "attention_weight": r"\beta"}
    paper: ClassVar[str] = "Zagoruyko and Komodakis, ICLR 2017"
    needs: ClassVar[frozenset[Grant]] = frozenset({"features"})
    joins: ClassVar[Joins] = "places"
    label_weight: float = Field(1.0, ge=0.0, le=100.0, description="Weight of the true labels.")
    attention_weight: float = Field(
        1000.0,
        ge=0.0,
        le=10000.0,
        description="Weight of the attention of all stages; 1000 is for images of 32x32, use 50 or less for 8x8.",
    )

    def wrap_student(self, student: Net) -> Net:
        """The student, cut where the benchmark reads its stages."""
        return staged(student)

    def wrap_teacher(self, teacher: Net) -> Net:
        """The teacher, cut likewise."""
        return staged(teacher)

    def connect(self, pair: Pair) -> None:
        """Nothing; it only looks whether there is something to compare.

        Raises:
            BadInput: no pair of stages has positions.
        """
        refuse_misfit(self, pair)

    def terms(self, batch: Batch, state: nn.Module | None) -> dict[str, Term]:
        """Labels and attention."""
        assert batch.teacher is not None
        stages = paired(batch.student.features, batch.teacher.features)
        losses = [attention_loss(*pair) for pair in stages if all(prod(side.shape[2:]) > 1 for side in pair)]
        return {
            "labels": Term(self.label_weight, cross_entropy(batch.student.logits, batch.labels)),
            "attention": Term(self.attention_weight, torch.stack(losses).sum()),
        }
