r"""KD++: the student's features grow in norm and align with the direction of the teacher's features of the true class.

Let $e_y$ be the unit vector along the mean of the teacher's features of class $y$ over the training rows, and $f_s$,
$f_t$ the features before the classifier, $f_s$ through a linear layer where the widths differ. The direction term, with
weight $\beta$ (`nd_weight`), is $1 - \langle f_s, e_y\rangle/\max(\lVert f_s\rVert, \lVert f_t\rVert)$: short features
must grow, and those at least as long as the teacher's only turn. The loss adds label weight $\lambda$ times
$\mathrm{CE}(z_s, y)$ and KD weight $\alpha$ times $w\,T^2\,\mathrm{KL}(\sigma(z_t/T)\,\|\,\sigma(z_s/T))$, where $w$
rises from 0 to 1 in the first part of the run.

Source: Wang, Cheng, Duan, Wang, Feng and Kong, Improving Knowledge Distillation via Regularizing Feature Norm and
Direction, 2023, arXiv 2305.17007; weights 1, 1 and 2, $T$ 4 and a warm-up of 20 of 240 epochs as for ResNet56 to
ResNet20.

Departs from it: the warm-up rises with every step; their layer for unlike widths also normalises its input and drops
half of it; unlabelled rows take the teacher's predicted class, in the means and in the loss. A class without a training
row has no direction, and its rows contribute 1.

Zero when: the feature points along $e_y$ and is at least as long as the teacher's (the term "nd"); the logits of each
row differ by a constant (the term "kd").
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from kdcore.contracts.access import Grant
from kdcore.contracts.method import Batch, Method, Pair, Term
from kdcore.contracts.net import pooled
from kdcore.nn.losses import STANDARDISE, class_means, compared, cross_entropy, kd_loss, ramp


def directions(features: Tensor, targets: Tensor, classes: int) -> Tensor:
    """Unit vectors (C, K) along the mean of the features (N, K) of each class; 0 for a class without a row."""
    return F.normalize(class_means(features, targets, classes), eps=1e-30)


def nd_rows(student: Tensor, teacher: Tensor, along: Tensor) -> Tensor:
    """1 - <f_s, e> / max(|f_s|, |f_t|) of each row, (B,).

    Args:
        student: (B, K).
        teacher: (B, K), constant.
        along: (B, K) unit vectors.
    """
    longer = torch.maximum(student.float().norm(dim=1), teacher.float().norm(dim=1))
    return 1 - (student.float() * along).sum(1) / longer.clamp(min=1e-12)


class Means(nn.Module):
    """Where the teacher's classes lie, and the layer that takes the student's features there."""

    directions: Tensor  # (C, K)

    def __init__(self, directions: Tensor, width: int) -> None:
        super().__init__()
        self.register_buffer("directions", directions)
        same = width == directions.shape[1]
        self.project = nn.Identity() if same else nn.Linear(width, directions.shape[1])


class ND(Method):
    """Distillation of softened probabilities, and of the norm and direction of features."""

    title: ClassVar[str] = "KD++ (norm and direction)"
    family: ClassVar[str] = "features"
    equation: ClassVar[str] = (
        r"\mathcal{L} = \lambda\,\mathrm{CE}(z_s, y) + w\,\alpha\,T^2\,"
        r"\mathrm{KL}\big(\sigma(z_t/T)\,\|\,\sigma(z_s/T)\big) + \beta\,\Big(1 - "
        r"\frac{\langle f_s, e_y\rangle}{\max(\lVert f_s\rVert, \lVert f_t\rVert)}\Big)"
    )
    symbols: ClassVar[dict[str, str]] = {
        "temperature": "T",
        "label_weight": r"\lambda",
        "kd_weight": r"\alpha",
        "nd_weight": r"\beta",
    }
    paper: ClassVar[str] = "Wang, Cheng, Duan, Wang, Feng and Kong, arXiv 2023"
    needs: ClassVar[frozenset[Grant]] = frozenset({"features", "probabilities"})
    temperature: float = Field(4.0, ge=0.1, le=100.0, description="Softens both distributions; 1 = no softening.")
    label_weight: float = Field(1.0, ge=0.0, le=100.0, description="Weight of the true labels.")
    kd_weight: float = Field(1.0, ge=0.0, le=100.0, description="Weight of the teacher's probabilities.")
    nd_weight: float = Field(2.0, ge=0.0, le=100.0, description="Weight of the features' norm and direction.")
    warmup: float = Field(0.083, ge=0.0, le=1.0, description="Share of the run in which the probabilities fade in.")
    standardise: bool = Field(False, description=STANDARDISE)

    def connect(self, pair: Pair) -> Means:
        """The directions of the classes, from one pass of the teacher over the training rows."""
        answers = pair.answers()
        along = directions(answers.features[-1].float(), pair.targets(answers), pair.classes)
        return Means(along, pair.student[-1][0])

    def _features(self, batch: Batch, state: nn.Module | None) -> tuple[Tensor, Tensor, Tensor]:
        """The student's, projected, the teacher's, and the direction of the class; each (B, K)."""
        assert isinstance(state, Means)
        assert batch.teacher is not None
        student = state.project(pooled(batch.student.features[-1].float()))
        return student, pooled(batch.teacher.features[-1].float()), state.directions[batch.targets]

    def terms(self, batch: Batch, state: nn.Module | None) -> dict[str, Term]:
        """Labels, softened probabilities, norm and direction."""
        kd = kd_loss(*compared(batch, self.standardise), self.temperature)
        return {
            "labels": Term(self.label_weight, cross_entropy(batch.student.logits, batch.labels)),
            "kd": Term(ramp(batch.progress, self.warmup) * self.kd_weight, kd),
            "nd": Term(self.nd_weight, nd_rows(*self._features(batch, state)).mean()),
        }

    def metrics(self, batch: Batch, state: nn.Module | None) -> dict[str, Tensor]:
        """How long the student's features are beside the teacher's, and the cosine to the direction of the class."""
        student, teacher, along = self._features(batch, state)
        return {
            "norm_ratio": student.norm(dim=1).mean() / teacher.norm(dim=1).mean().clamp(min=1e-12),
            "alignment": F.cosine_similarity(student, along).mean(),
        }
