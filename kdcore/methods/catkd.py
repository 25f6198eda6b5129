r"""Class attention transfer: the student localises each class where the teacher localises it.

The student's classifier, a linear layer without bias, is moved before the pooling: as a 1x1 convolution it yields a map
for each class, whose mean over positions is the logit. The teacher's maps come from its classifier's weights in the
same way. The loss is label weight $\lambda$ times $\mathrm{CE}(z_s, y)$ plus map weight $\beta$ (`cat_weight`) times
the mean of $(\phi(M_s) - \phi(M_t))^2$ over samples, classes and positions. Here $\phi$ averages the maps $M$ down to a
few positions and, if `normalise` is on, divides each by its norm.

Source: Guo, Yan, Li and Lin, Class Attention Transfer Based Knowledge Distillation, CVPR 2023, arXiv 2304.12777, and
its released code. For CIFAR-100 its weight depends on the pair of networks: .7, 1.5, 1.8, 4.5, 12 and 15 for
unnormalised maps, at two positions a side, and 15, 40, 80 and 600 for normalised maps, at two or four.

Departs from it: the weight 4.5 is the code's for VGG13 to VGG8 only. Maps with fewer positions than requested are
compared at the size of the smaller one; the variants with binarised maps or a few classes are left out.

Zero when: the class maps of student and teacher are equal (the term "maps").
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from kdcore.contracts.access import Grant
from kdcore.contracts.method import Batch, Joins, Method, Term
from kdcore.contracts.net import Net
from kdcore.contracts.outputs import Outputs
from kdcore.errors import BadInput
from kdcore.nn.connectors import Pooled
from kdcore.nn.heads import Reading, classifier, reading
from kdcore.nn.losses import cross_entropy


def class_maps(feature: Tensor, weight: Tensor) -> Tensor:
    """What a classifier (C, K) without bias says at each position of a map (B, K, H, W): (B, C, H, W), float32."""
    return torch.einsum("bkhw,ck->bchw", feature.float(), weight.float())


def _class_maps_of(net: Net, outputs: Outputs) -> Tensor:
    weight = classifier(net)
    assert weight is not None
    return class_maps(outputs.features[-1], weight)


def map_loss(student_maps: Tensor, teacher_maps: Tensor, positions: int, normalise: bool = False) -> Tensor:
    """Mean squared difference of class maps (B, C, H, W), whose sizes may differ, averaged to a few positions a side.

    Args:
        student_maps, teacher_maps: the teacher's are constant.
        positions: a side, at most; no more than either map has.
        normalise: give each averaged map length 1.
    """
    height, width = (
        min(positions, *sides) for sides in zip(student_maps.shape[2:], teacher_maps.shape[2:], strict=True)
    )
    maps = [F.adaptive_avg_pool2d(one.float(), (height, width)) for one in (student_maps, teacher_maps)]
    if normalise:
        maps = [F.normalize(one.flatten(2), dim=2) for one in maps]
    return F.mse_loss(maps[0], maps[1])


class CATKD(Method):
    """Distillation of class activation maps."""

    title: ClassVar[str] = "Class attention transfer"
    family: ClassVar[str] = "features"
    equation: ClassVar[str] = (
        r"\mathcal{L} = \lambda\,\mathrm{CE}(z_s, y) + \frac{\beta}{|M|}\,\lVert \phi(M_s) - \phi(M_t) \rVert_2^2"
    )
    symbols: ClassVar[dict[str, str]] = {"label_weight": r"\lambda", "cat_weight": r"\beta"}
    paper: ClassVar[str] = "Guo, Yan, Li and Lin, CVPR 2023"
    needs: ClassVar[frozenset[Grant]] = frozenset({"blocks", "features"})
    joins: ClassVar[Joins] = "last_map"
    label_weight: float = Field(1.0, ge=0.0, le=100.0, description="Weight of the true labels.")
    cat_weight: float = Field(4.5, ge=0.0, le=1000.0, description="Weight of the class maps.")
    positions: int = Field(2, ge=1, le=64, description="Positions a side at which maps are compared, at most.")
    normalise: bool = Field(False, description="Compare the form of each map and not its scale; needs a larger weight.")

    def adapt_student(self, student: Net, teacher: Net | None) -> Net:
        """The student with its classifier before the pooling, without bias.

        Raises:
            BadInput: a last stage is no map, or a head is more than pooling and a linear layer.
        """
        assert teacher is not None
        (classes, width), theirs = self._reading(student).weight.shape, len(self._reading(teacher).weight)
        if theirs != classes:
            raise BadInput(
                f"{self.title} compares a map for each of {classes} classes, but the teacher's classifier has {theirs} "
                "outputs, as it splits classes; choose a teacher of another method."
            )
        return Net(
            list(student.blocks),
            nn.Sequential(nn.Conv2d(width, classes, 1, bias=False), Pooled()),
            student.stem,
            student.tail,
        )

    def _reading(self, net: Net) -> Reading:
        found = reading(net, self.title)
        if not found.maps:
            raise BadInput(
                f"{self.title} compares maps, but the last stage of one network is a vector of {found.weight.shape[1]} "
                "units; choose for student and teacher a network that ends in a map, such as 'cnn', 'resnet' or 'wrn'."
            )
        return found

    def terms(self, batch: Batch, state: nn.Module | None) -> dict[str, Term]:
        """Labels and class maps."""
        assert batch.teacher is not None
        assert batch.teacher_net is not None
        student = _class_maps_of(batch.student_net, batch.student)
        teacher = _class_maps_of(batch.teacher_net, batch.teacher)
        return {
            "labels": Term(self.label_weight, cross_entropy(batch.student.logits, batch.labels)),
            "maps": Term(self.cat_weight, map_loss(student, teacher, self.positions, self.normalise)),
        }
