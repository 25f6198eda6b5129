"""Explanation-enhanced distillation: the student answers as the teacher does, and for the same reasons.

A network's reason for a class is its Grad-CAM: E = ReLU(sum over channels k of a_k * A_k), with A the last stage that
is a map and a_k the mean over positions of the class logit's derivative by A_k. Both networks explain the class that
the teacher answers. The loss is label_weight * CE(student, y) + kd_weight * T^2 * KL(p_t || p_s) at temperature T
+ explanation_weight * mean over samples of (1 - cos(E_t, E_s)).

Source: Parchami-Araghi, Böhle, Rao and Schiele, Good Teachers Explain: Explanation-Enhanced Knowledge Distillation,
ECCV 2024, arXiv 2402.03119; weights of the explanation are 1, 5 and 10 there.

Departs from it: the weight of the labels and the temperature are ours. Maps of unlike sizes are averaged to the smaller
one. A sample whose explanation by the teacher is empty, because the ReLU leaves nothing of it, counts as 0.

Zero when: student and teacher are one network (the terms "kd" and "explanation").
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from kdcore.connect import aligned
from kdcore.contracts import Batch, Grant, Joins, Method, Pair, Term
from kdcore.fit import refuse_misfit
from kdcore.losses import cross_entropy, kd_loss
from kdcore.net import Net


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


def explanation_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """One minus the cosine of two explanations (B, H, W), whose sizes may differ; the mean over rows.

    Rows where the teacher's, which is constant, is empty count as 0.
    """
    ours, theirs = (one.flatten(1) for one in aligned(student[:, None], teacher[:, None]))
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
    paper: ClassVar[str] = "Parchami-Araghi, Böhle, Rao and Schiele, ECCV 2024"
    needs: ClassVar[frozenset[Grant]] = frozenset({"features", "gradients", "probabilities"})
    joins: ClassVar[Joins] = "maps"
    temperature: float = Field(4.0, ge=0.1, le=100.0, description="Softens both distributions; 1 leaves them be.")
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
        logits = batch.student.logits
        return {
            "labels": Term(self.label_weight, cross_entropy(logits, batch.labels)),
            "kd": Term(self.kd_weight, kd_loss(logits, batch.teacher.logits, self.temperature)),
            "explanation": Term(self.explanation_weight, explanation_loss(*_explanations(batch))),
        }

    def observe(self, batch: Batch, state: nn.Module | None) -> dict[str, Tensor]:
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
