r"""LELP: the teacher's last feature splits each class into subclasses, and the student learns those.

For each class $c$ the training rows' teacher features $f_t$ are centred at their mean $\mu_c$, stripped of the
directions that the teacher's classifier reads, and reduced to their $S$ strongest directions, which a random rotation
mixes so that they have equal variance: $v_{c,1}, \dots, v_{c,S}$. Subclass $s$ of $c$ has the target $P_{c,s} =
p_c\,\mathrm{softmax}_s(\langle f_t - \mu_c, v_{c,s} \rangle/\tau)$, with $p$ the teacher's probabilities and $\tau$ the
subclass temperature. The student has $S$ outputs for each class, and its class logit is their logsumexp, so that the
probabilities of subclasses add up to that of their class. With $q$ the subclass probabilities, the loss is KD weight
$\alpha$ times $\mathrm{KL}(P\,\|\,q)$. The $S$ outputs of a class share its gradient, so its logit learns $S$ times
slower than with a single output.

Source: Loo, Iliopoulos, Hu and Vee, Linear Projections of Teacher Embeddings for Few-Class Distillation, 2024, arXiv
2409.20449, read in a secondary source.

Departs from it: we have not read $S$ and $\tau$; 4 and 1 are ours, with directions scaled so that features vary by 1
along them on average. Its weight 16 is ours, too, chosen on held-out coloured digits. The divergence stands for the
cross- entropy, which has the same gradient. Features of maps are averaged over positions. A row without a label belongs
to the class that the teacher predicts.

Zero when: the student's subclass probabilities are the targets; with $S = 1$, when its probabilities are the teacher's.
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from kdcore.contracts.access import Grant
from kdcore.contracts.method import Batch, Method, Pair, Term
from kdcore.contracts.net import Net, pooled
from kdcore.errors import BadInput
from kdcore.nn.connectors import Pooled
from kdcore.nn.heads import reading
from kdcore.nn.losses import class_means, kl, log_probs


def rotation(size: int) -> Tensor:
    """A random orthogonal matrix (S, S), float64, always the same."""
    draw = torch.randn(size, size, generator=torch.Generator().manual_seed(0), dtype=torch.double)
    turn: Tensor = torch.linalg.qr(draw)[0]
    return turn


def without_span(features: Tensor, weight: Tensor) -> Tensor:
    """Features (N, K) less their part in the span of the rows of a classifier (C, K)."""
    basis: Tensor = torch.linalg.qr(weight.T)[0]
    return features - features @ basis @ basis.T


def strongest(centred: Tensor, count: int, turn: Tensor) -> Tensor:
    """The `count` directions (K, S) along which rows (N, K) vary most, turned by (S, S).

    They are scaled so that the rows vary by 1 along them on average; where nothing varies, they keep length 1. Rows
    that are 0 count for nothing.
    """
    members = (centred != 0).any(1).sum().clamp(min=1)
    variances, directions = torch.linalg.eigh(centred.T @ centred / members)
    scale = variances[-count:].mean().clamp(min=0).sqrt()
    turned: Tensor = directions[:, -count:] @ turn
    return turned / torch.where(scale > 1e-6, scale, torch.ones_like(scale))


class Subclasses(nn.Module):
    """What splits each class: means (C, K) and directions (C, K, S) in the teacher's feature space."""

    means: Tensor
    directions: Tensor

    def __init__(self, features: Tensor, targets: Tensor, weight: Tensor, classes: int, count: int) -> None:
        super().__init__()
        features = features.double()
        means = class_means(features, targets, classes)
        rest, turn = without_span(features - means[targets], weight.double()), rotation(count).to(features.device)
        directions = [strongest(rest * (targets == c)[:, None], count, turn) for c in range(classes)]
        self.register_buffer("means", means.float())
        self.register_buffer("directions", torch.stack(directions).float())


def subclass_log_targets(logits: Tensor, features: Tensor, space: Subclasses, temperature: float) -> Tensor:
    """Log-probabilities (B, C, S) of the subclasses, from the teacher's logits (B, C) and features (B, K)."""
    centred = features.float()[:, None] - space.means
    places = torch.einsum("bck,cks->bcs", centred, space.directions)
    return log_probs(logits)[:, :, None] + F.log_softmax(places / temperature, dim=2)


class _Together(nn.Module):
    """Class logits from those of subclasses."""

    def __init__(self, subclasses: int) -> None:
        super().__init__()
        self.subclasses = subclasses

    def forward(self, x: Tensor) -> Tensor:
        """From (B, C * S), a class's subclasses side by side, to (B, C)."""
        return x.reshape(len(x), -1, self.subclasses).logsumexp(2)


class LELP(Method):
    """Distillation of subclasses."""

    title: ClassVar[str] = "LELP"
    family: ClassVar[str] = "features"
    equation: ClassVar[str] = (
        r"\mathcal{L} = \alpha\,\mathrm{KL}(P\,\|\,q), \quad P_{c,s} = p_c\,"
        r"\mathrm{softmax}_s\big(\langle f_t - \mu_c, v_{c,s} \rangle / \tau\big)"
    )
    symbols: ClassVar[dict[str, str]] = {"subclass_temperature": r"\tau", "kd_weight": r"\alpha"}
    paper: ClassVar[str] = "Loo, Iliopoulos, Hu and Vee, arXiv 2024"
    needs: ClassVar[frozenset[Grant]] = frozenset({"blocks", "features", "probabilities"})
    rate: ClassVar[float] = 0.5
    fixed: ClassVar[frozenset[str]] = frozenset({"subclasses"})
    subclasses: int = Field(4, ge=1, le=64, description="Into how many parts each class is split; 1 is plain KD.")
    subclass_temperature: float = Field(1.0, ge=0.01, le=100.0, description="Softens the split inside a class.")
    kd_weight: float = Field(
        16.0, ge=0.0, le=100.0, description="Weight of the teacher's subclasses; about four times their number suits."
    )

    def adapt_student(self, student: Net, teacher: Net | None) -> Net:
        """The student with S outputs for each class, added up in its head.

        Raises:
            BadInput: its head is more than pooling and a linear layer.
        """
        found = reading(student, self.title)
        classes, width = found.weight.shape
        split: nn.Module = nn.Linear(width, classes * self.subclasses)
        split = nn.Sequential(Pooled(), split) if found.maps else split
        return Net(list(student.blocks), nn.Sequential(split, _Together(self.subclasses)), student.stem, student.tail)

    def connect(self, pair: Pair) -> nn.Module:
        """The split of each class.

        Raises:
            BadInput: the teacher's head is more than pooling and a linear layer, or its feature has no room for the
                subclasses.
        """
        assert pair.teacher_net is not None
        weight = reading(pair.teacher_net, self.title).weight.detach()
        room = max(0, weight.shape[1] - weight.shape[0])
        if self.subclasses > max(1, room):
            raise BadInput(
                f"LELP splits classes along directions that the teacher's classifier does not read, of which there are "
                f"{room}, but {self.subclasses} are asked for; choose fewer subclasses or classes, or a wider teacher."
            )
        answers = pair.answers()
        return Subclasses(answers.features[-1], pair.targets(answers), weight, pair.classes, self.subclasses)

    def terms(self, batch: Batch, state: nn.Module | None) -> dict[str, Term]:
        """The teacher's subclasses."""
        assert batch.teacher is not None
        assert isinstance(state, Subclasses)
        feature = pooled(batch.teacher.features[-1])
        target = subclass_log_targets(batch.teacher.logits, feature, state, self.subclass_temperature).flatten(1)
        layers = batch.student_net.head
        assert isinstance(layers, nn.Sequential)
        return {"kd": Term(self.kd_weight, kl(target, log_probs(layers[0](batch.student.features[-1].float()))))}
