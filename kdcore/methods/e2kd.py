r"""Explanation-enhanced distillation: the student predicts what the teacher predicts, and for the same reasons.

A network's explanation of a class is its Grad-CAM: $E = \mathrm{ReLU}(\sum_k a_k A_k)$ over channels $k$, with $A$ the
last stage that is a map and $a_k$ the mean over positions of the class logit's derivative by $A_k$. Both networks
explain the class that the teacher predicts. The loss is label weight $\lambda$ times $\mathrm{CE}(z_s, y)$ plus KD
weight $\alpha$ times $T^2\,\mathrm{KL}(\sigma(z_t/T)\,\|\,\sigma(z_s/T))$ plus explanation weight $\gamma$ times the
mean over samples of $1 - \cos(E_t, E_s)$, where both maps are first upsampled to the size of the image by bilinear
interpolation.

Source: Parchami-Araghi, Böhle, Rao and Schiele, Good Teachers Explain: Explanation-Enhanced Knowledge Distillation,
ECCV 2024, arXiv 2402.03119, and its released code, which tries weights of the explanation of .2, 1, 5 and 10.

Departs from it: the weight of the labels, which is 0 there, and temperature 4, which is 1 or 5 there, are ours. A
sample whose explanation by the teacher is empty, because the ReLU leaves nothing of it, counts as 0, where the code
counts a constant 1; the gradient is the same. Explanations are computed at each step, where the code may skip steps.

Zero when: student and teacher are one network (the terms "kd" and "explanation").
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from kdcore.contracts.access import Grant
from kdcore.contracts.method import Batch, Joins, Method, Pair, Term
from kdcore.contracts.net import Net
from kdcore.nn.losses import cross_entropy, kd_loss
from kdcore.spec.compatibility import refuse_misfit


def grad_cam(net: Net, features: tuple[Tensor, ...], classes: Tensor) -> Tensor:
    """The Grad-CAM (B, H, W) of one class in each row, float32, at the last stage that is a map.

    It can be differentiated by the net's weights and, where they have a graph, by the features.

    Args:
        net: gives the class logits for its stage features.
        features: per stage (B, K, H, W) or (B, K).
        classes: (B,) int64.
    """
    place = max(place for place, feature in enumerate(features) if feature.dim() == 4)
    with torch.enable_grad():
        maps = features[place].float()
        maps = maps if maps.requires_grad else maps.detach().requires_grad_()
        x = maps
        for block in net.blocks[place + 1 :]:
            x = block(x)
        chosen = net.head(x).gather(1, classes[:, None]).sum()
        (slopes,) = torch.autograd.grad(chosen, maps, create_graph=True)
        return F.relu((slopes.mean((2, 3), keepdim=True) * maps).sum(1))


def enlarged(maps: Tensor, size: tuple[int, ...]) -> Tensor:
    """Maps (B, h, w) at the size (H, W) of the image, by bilinear interpolation.

    It is two matrix products, as the gradient of torch's own interpolation is not reproducible on a GPU.
    """
    down, across = (
        F.interpolate(torch.eye(places, device=maps.device)[None], size=wanted, mode="linear")[0].to(maps.dtype)
        for places, wanted in zip(maps.shape[1:], size, strict=True)
    )
    return down.T @ maps @ across


def explanation_loss(student: Tensor, teacher: Tensor, size: tuple[int, ...]) -> Tensor:
    """One minus the cosine of two explanations, enlarged to the image; the mean over rows.

    Rows where the teacher's explanation is empty count as 0.

    Args:
        student, teacher: (B, h, w), each of its own size; the teacher's is constant.
        size: (H, W) of the image.
    """
    ours, theirs = (enlarged(one, size).flatten(1) for one in (student, teacher))
    gap = 1 - F.cosine_similarity(ours, theirs)
    return (gap * (theirs > 0).any(1)).mean()


class E2KD(Method):
    """Distillation of answers and of their reasons."""

    title: ClassVar[str] = "Explanation-enhanced KD"
    family: ClassVar[str] = "features"
    equation: ClassVar[str] = (
        r"\mathcal{L} = \lambda\,\mathrm{CE}(z_s, y)"
        r" + \alpha\,T^2\,\mathrm{KL}\big(\sigma(z_t/T)\,\|\,\sigma(z_s/T)\big)"
        r" + \gamma\,\big(1 - \cos(E_t, E_s)\big)"
    )
    symbols: ClassVar[dict[str, str]] = {
        "temperature": "T",
        "label_weight": r"\lambda",
        "kd_weight": r"\alpha",
        "explanation_weight": r"\gamma",
    }
    paper: ClassVar[str] = "Parchami-Araghi, Böhle, Rao and Schiele, ECCV 2024"
    needs: ClassVar[frozenset[Grant]] = frozenset({"features", "gradients", "probabilities"})
    joins: ClassVar[Joins] = "maps"
    temperature: float = Field(4.0, ge=0.1, le=100.0, description="Softens both distributions; 1 = no softening.")
    label_weight: float = Field(1.0, ge=0.0, le=100.0, description="Weight of the true labels.")
    kd_weight: float = Field(1.0, ge=0.0, le=100.0, description="Weight of the teacher's probabilities.")
    explanation_weight: float = Field(5.0, ge=0.0, le=100.0, description="Weight of the teacher's explanation.")

    def connect(self, pair: Pair) -> None:
        """Nothing; both networks need a map to explain by.

        Raises:
            BadInput: one of the networks has none.
        """
        refuse_misfit(self, pair)

    def terms(self, batch: Batch, state: nn.Module | None) -> dict[str, Term]:
        """Labels, softened probabilities and explanations."""
        assert batch.teacher is not None
        logits, size = batch.student.logits, tuple(batch.inputs.shape[2:])
        return {
            "labels": Term(self.label_weight, cross_entropy(logits, batch.labels)),
            "kd": Term(self.kd_weight, kd_loss(logits, batch.teacher.logits, self.temperature)),
            "explanation": Term(self.explanation_weight, explanation_loss(*_explanations(batch), size)),
        }

    def arrays(self, batch: Batch, state: nn.Module | None) -> dict[str, Tensor]:
        """What each network looks at (N, H, W) for the class that the teacher answers."""
        student, teacher = _explanations(batch)
        return {"explanation_student": student.detach(), "explanation_teacher": teacher}


def _explanations(batch: Batch) -> tuple[Tensor, Tensor]:
    """The student's and, constant, the teacher's Grad-CAM of the teacher's answer."""
    assert batch.teacher is not None
    assert batch.teacher_net is not None
    answers = batch.teacher.logits.argmax(1)
    student = grad_cam(batch.student_net, batch.student.features, answers)
    return student, grad_cam(batch.teacher_net, batch.teacher.features, answers).detach()
