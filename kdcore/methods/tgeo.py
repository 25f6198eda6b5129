r"""TGeo-KD: a small network decides for each sample whether the student follows the teacher or the label.

The loss is the mean of $(1 - a_i)\,\mathrm{CE}_i + a_i\,T^2\,\mathrm{KL}_i$, with $a_i$ in (0, 1) given by a controller
that sees the student's and the teacher's probabilities, the label, the teacher's mean over the sample's class, and the
sides of the two triangles that they form, each as its $C$ squared differences: $9C$ numbers. The controller is right
where following $a_i$ lowers the error on held-out rows: to first order, a step of the student along its gradient
changes that error by $\sum_i c_i\,a_i$, with $c_i = -\langle \nabla (T^2\,\mathrm{KL}_i - \mathrm{CE}_i)/B,\ \nabla
\mathrm{CE}_{\mathrm{held\,out}} \rangle$. Its own loss is controller weight $\gamma$ times $\sum_i \bar c_i\,a_i$, in
which $c_i$ is constant, as $a_i$ is in the student's.

Source: Hu, Wu, Li, Ma, Chen, Wang, Yan and Liu, Less or More From Teacher: Exploiting Trilateral Geometry For Knowledge
Distillation, ICLR 2024, arXiv 2312.15112; $T = 1.5$.

Departs from it: the released code computes $a_i$ without gradients, and its held-out error does not reach the
controller, which thus never learns; the one-step rule above is ours, with plain descent of rate 1 in place of the
optimiser's step. The controller has one hidden layer of 128 units, theirs two of 32 and 16; $\mathrm{CE}_i$ uses the
logits, theirs probabilities that are softened once more. The teacher's class means are over all training rows, theirs
over the batch. The teacher was trained on the held-out rows, which are kept from the student alone, and its class means
include them. On unlabelled rows the teacher's prediction replaces the label and $a_i$ is 1 in the student's loss.

Zero when: $a_i$ is 0 or the logits of student and teacher differ by a constant in each row (the term "kd"); the term
"controller" is 0 where labels and teacher pull the student equally towards the held-out rows.
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from kdcore.contracts.access import Grant
from kdcore.contracts.method import Ask, Batch, Method, Pair, Term
from kdcore.contracts.net import Net
from kdcore.contracts.outputs import Outputs
from kdcore.nn.losses import class_means, cross_entropy, kl_rows, log_probs

UNITS = 128  # of the controller's hidden layer
SEEN = 9  # four points and five sides, of as many numbers as there are classes


def centres(probabilities: Tensor, targets: Tensor, classes: int) -> Tensor:
    """Mean (C, C) of probabilities (N, C) over the rows of each target (N,); uniform for a class without rows."""
    means = class_means(probabilities, targets, classes)
    return means.where(means.any(1, keepdim=True), 1.0 / classes)


def geometry(student: Tensor, teacher: Tensor, label: Tensor, centre: Tensor) -> Tensor:
    """What the controller sees (B, 9C): four points (B, C), and squared differences, C to each of five sides.

    The sides are those of mean and student, label and student, teacher and student, teacher and label, mean and label.
    """
    sides = [(centre, student), (label, student), (teacher, student), (teacher, label), (centre, label)]
    squared = [(one - other).square() for one, other in sides]
    return torch.cat((student, teacher, label, centre, *squared), dim=1)


def directional(values: Tensor, net: Net, direction: tuple[Tensor, ...]) -> Tensor:
    """Derivatives (B,) of values (B,) where the weights of `net` move along `direction`, one tensor a weight.

    A derivative along one direction is twice a gradient: of <gradient of u * values, direction> with respect to u.
    """
    dual = torch.ones_like(values, requires_grad=True)
    weights = [weight for weight in net.parameters() if weight.requires_grad]
    slopes = torch.autograd.grad((values * dual).sum(), weights, create_graph=True, materialize_grads=True)
    along = torch.stack([(slope * way).sum() for slope, way in zip(slopes, direction, strict=True)]).sum()
    return torch.autograd.grad(along, dual)[0]


def influence(gaps: Tensor, held_out_loss: Tensor, net: Net) -> Tensor:
    """Change (B,) of the held-out loss per unit of a_i, where the weights descend along the sum of a_i * gaps (B,)."""
    weights = [weight for weight in net.parameters() if weight.requires_grad]
    uphill = torch.autograd.grad(held_out_loss, weights, retain_graph=True, materialize_grads=True)
    return -directional(gaps, net, uphill)


class _Controller(nn.Module):
    """From what is known of a row to its weight in (0, 1)."""

    centres: Tensor  # (C, C)

    def __init__(self, centres: Tensor) -> None:
        super().__init__()
        self.register_buffer("centres", centres)
        self.layers = nn.Sequential(nn.Linear(SEEN * len(centres), UNITS), nn.ReLU(), nn.Linear(UNITS, 1), nn.Sigmoid())

    def forward(self, student: Tensor, teacher: Tensor, targets: Tensor) -> Tensor:
        """Weights (B,) from probabilities (B, C) and targets (B,)."""
        label = F.one_hot(targets, len(self.centres)).float()
        found: Tensor = self.layers(geometry(student, teacher, label, self.centres[targets]))
        return found.squeeze(1)


class TGeo(Method):
    """A learnt balance of label and teacher."""

    title: ClassVar[str] = "TGeo-KD"
    family: ClassVar[str] = "teachers"
    equation: ClassVar[str] = (
        r"\mathcal{L} = \frac{1}{B}\sum_i (1 - a_i)\,\mathrm{CE}_i + a_i\,T^2\,\mathrm{KL}_i"
        r" + \gamma \sum_i \bar c_i\,a_i"
    )
    symbols: ClassVar[dict[str, str]] = {"temperature": "T", "controller_weight": r"\gamma"}
    paper: ClassVar[str] = "Hu, Wu, Li, Ma, Chen, Wang, Yan and Liu, ICLR 2024"
    needs: ClassVar[frozenset[Grant]] = frozenset({"probabilities"})
    asks: ClassVar[frozenset[Ask]] = frozenset({"validation"})
    temperature: float = Field(1.5, ge=0.1, le=100.0, description="Softens both distributions; 1 = no softening.")
    controller_weight: float = Field(1.0, ge=0.0, le=100.0, description="Weight of the controller's own loss.")

    def connect(self, pair: Pair) -> nn.Module:
        """The controller, which knows the teacher's mean of each class."""
        answers = pair.answers()
        return _Controller(centres(log_probs(answers.logits).exp(), pair.targets(answers), pair.classes))

    def balance(self, batch: Batch, state: nn.Module | None) -> Tensor:
        """The controller's weight (B,) of the teacher."""
        assert state is not None
        assert batch.teacher is not None
        student, teacher = (log_probs(one.logits.detach()).exp() for one in (batch.student, batch.teacher))
        found: Tensor = state(student, teacher, batch.targets)
        return found

    def rows(self, student: Outputs, batch: Batch) -> tuple[Tensor, Tensor]:
        """Cross-entropy (B,), 0 where unlabelled, and T^2 times the divergence (B,)."""
        assert batch.teacher is not None
        ours, theirs = (log_probs(one.logits, self.temperature) for one in (student, batch.teacher))
        labels = F.cross_entropy(student.logits.float(), batch.labels, ignore_index=-1, reduction="none")
        return labels, self.temperature**2 * kl_rows(theirs, ours)

    def coefficients(self, labels: Tensor, divergences: Tensor, batch: Batch) -> Tensor:
        """c_i (B,); 0 where nothing is held out or gradients are off."""
        if batch.validation is None or not labels.requires_grad:
            return torch.zeros_like(labels)
        held_out = cross_entropy(batch.validation.student.logits, batch.validation.labels)
        known = batch.labels >= 0
        gaps = known * (divergences / len(known) - labels / known.sum().clamp(min=1))
        return influence(gaps, held_out, batch.student_net)

    def terms(self, batch: Batch, state: nn.Module | None) -> dict[str, Term]:
        """Labels and teacher as the controller balances them, and the controller's own."""
        balance = self.balance(batch, state)
        labels, divergences = self.rows(batch.student, batch)
        known, fixed = batch.labels >= 0, balance.detach()
        return {
            "labels": Term(1.0, ((1.0 - fixed) * labels).sum() / known.sum().clamp(min=1)),
            "kd": Term(1.0, (fixed.where(known, 1.0) * divergences).mean()),
            "controller": Term(self.controller_weight, (self.coefficients(labels, divergences, batch) * balance).sum()),
        }

    def metrics(self, batch: Batch, state: nn.Module | None) -> dict[str, Tensor]:
        """The mean weight of the teacher where it is right and where it is wrong; of all rows where there are none."""
        assert batch.teacher is not None
        balance, right = self.balance(batch, state), batch.teacher.logits.argmax(1) == batch.labels
        wrong = ~right & (batch.labels >= 0)
        return {"share_right": _mean(balance, right), "share_wrong": _mean(balance, wrong)}

    def arrays(self, batch: Batch, state: nn.Module | None) -> dict[str, Tensor]:
        """The weight of the teacher (N,), and the mixture of label and teacher that it stands for (N, C)."""
        assert batch.teacher is not None
        share, teacher = self.balance(batch, state), log_probs(batch.teacher.logits).exp()
        label = F.one_hot(batch.targets, teacher.shape[1])
        return {"share": share, "target": torch.lerp(label.float(), teacher, share[:, None])}


def _mean(values: Tensor, where: Tensor) -> Tensor:
    """Mean of values (B,) where it says so, of all where it does so nowhere."""
    return torch.where(where.any(), (values * where).sum() / where.sum().clamp(min=1), values.mean())
