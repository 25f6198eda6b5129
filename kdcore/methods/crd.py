r"""CRD: the student's feature of an image must match the teacher's feature of it, not those of other classes.

Features before the classifier pass through a linear layer each and are scaled to length 1: $u$ of the student, $v$ of
the teacher. A memory bank holds the last $u$ and $v$ of every training row. For a row $i$ and $M$ different rows $j$ of
other classes, let $g_j = \langle u_i, v_j\rangle/T - \log Z - \log(M/N)$ be the log-odds that $j$ is $i$'s own row and
not one of $M$ drawn at random from $N$; $Z$ makes the mean of $\exp(\langle u_i, v_j\rangle/T)/Z$ equal to $1/N$ at the
first step. The contrast is $\mathrm{softplus}(-g_i) + \sum_j \mathrm{softplus}(g_j)$, plus the same with student and
teacher swapped. The weights are $\lambda$ for the labels (label weight), $\beta$ for both contrasts (contrast weight)
and $\alpha$ for plain distillation at temperature $T_{kd}$ (KD weight).

Source: Tian, Krishnan and Isola, Contrastive Representation Distillation, ICLR 2020, arXiv 1910.10699; 128 dimensions,
temperature .07, momentum .5 and weight .8 as in their code, where 16384 negatives are drawn.

Departs from it: 1024 negatives by default, which is ours, and never more than there are other rows; where other classes
have fewer, they are repeated, where their code draws with replacement. Negatives are drawn by their gaps: all rows of
other classes are equally likely, but neighbours in the order of classes come together less often than by chance. The
odds are computed from logarithms, theirs with a constant of 1e-7; the memory is written after the update; on unlabelled
rows the teacher's prediction replaces the label. The negatives of a step are the same in every run of as many steps.

Zero when: never; it is smallest where each row's two embeddings agree and no other class's come near (the term
"contrast").
"""

import math
from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from kdcore.contracts.access import Grant
from kdcore.contracts.method import Ask, Batch, Method, Pair, Term
from kdcore.contracts.net import pooled
from kdcore.contracts.outputs import Outputs
from kdcore.nn.losses import cross_entropy, kd_loss
from kdcore.seeding import mix


def log_partition(scores: Tensor, rows: int) -> Tensor:
    """log Z, with which the mean of exp(scores) / Z over all scores (B, 1 + M) is 1 / rows."""
    return scores.flatten().logsumexp(0) - math.log(scores.numel()) + math.log(rows)


def contrast_loss(scores: Tensor, log_z: Tensor, rows: int) -> Tensor:
    """Noise-contrastive loss in nats of similarities over T (B, 1 + M): first the own row's, then M of other classes.

    Args:
        scores: (B, 1 + M).
        log_z: scalar.
        rows: N, among which the others are drawn.
    """
    odds = scores - log_z - math.log((scores.shape[1] - 1) / rows)
    return (F.softplus(-odds[:, 0]) + F.softplus(odds[:, 1:]).sum(1)).mean()


class Memory(nn.Module):
    """The two embeddings, what they last said of each training row, and the rows in the order of their classes.

    Args:
        widths: of the student's and the teacher's features.
        dimensions: D, of the embeddings.
        targets: (N,) the class of each training row.
        classes: C.
    """

    banks: Tensor  # (2, N, D), the student's and the teacher's
    log_z: Tensor  # (2,), infinite until the first step has set it
    targets: Tensor
    order: Tensor  # (N,) rows, class after class
    count: Tensor  # (C,) rows of each class
    first: Tensor  # (C,) where they begin in `order`

    def __init__(self, widths: tuple[int, int], dimensions: int, targets: Tensor, classes: int) -> None:
        super().__init__()
        self.embed = nn.ModuleList(nn.Linear(width, dimensions) for width in widths)
        count = (targets[:, None] == torch.arange(classes, device=targets.device)).sum(0)
        self.register_buffer("banks", (2 * torch.rand(2, len(targets), dimensions) - 1) * math.sqrt(3 / dimensions))
        self.register_buffer("log_z", torch.full((2,), -torch.inf))
        self.register_buffer("targets", targets)
        self.register_buffer("order", targets.argsort(stable=True))
        self.register_buffer("count", count)
        self.register_buffer("first", count.cumsum(0) - count)

    def embeddings(self, student: Outputs, teacher: Outputs) -> list[Tensor]:
        """Of the features before the classifier, each (B, D) of length 1."""
        sides = zip(self.embed, (student, teacher), strict=True)
        return [F.normalize(embed(pooled(side.features[-1].float()))) for embed, side in sides]

    def others(self, rows: Tensor, negatives: int, seed: int) -> Tensor:
        """Rows (B, M) of other classes than those of `rows` (B,), none twice unless there are fewer than M.

        M places with repeats, in order and each moved on by its number, never meet; a turn makes all equally likely.
        Sums of exponential gaps give them in order, as sorting costs ten times as much.
        """
        generator = torch.Generator(device=rows.device).manual_seed(seed)
        chance = torch.rand(len(rows), negatives + 2, generator=generator, device=rows.device)
        count, first = (each[self.targets[rows]][:, None] for each in (self.count, self.first))
        room = (len(self.order) - count).clamp(min=1)  # rows of other classes
        span = (room - negatives + 1).clamp(min=1)
        sums = chance[:, 1:].neg().log1p().neg().cumsum(1)
        apart = (sums[:, :-1] / sums[:, -1:] * span).long().minimum(span - 1).cummax(1).values
        step = torch.arange(negatives, device=rows.device)
        place = (apart + step + (chance[:, :1] * room).long()) % room
        return self.order[(place + count * (place >= first)).clamp(max=len(self.order) - 1)]


class CRD(Method):
    """Distillation by telling rows apart."""

    title: ClassVar[str] = "Contrastive representation distillation"
    family: ClassVar[str] = "relations"
    equation: ClassVar[str] = (
        r"\mathcal{L} = \lambda\,\mathrm{CE}(z_s, y) + \beta \sum_{s \leftrightarrow t} \Big(\mathrm{softplus}(-g_i)"
        r" + \sum_{j=1}^{M} \mathrm{softplus}(g_j)\Big) + \alpha\,T_{kd}^2\,\mathrm{KL},"
        r"\quad g_j = \frac{\langle u_i, v_j\rangle}{T} - \log Z - \log\frac{M}{N}"
    )
    symbols: ClassVar[dict[str, str]] = {
        "label_weight": r"\lambda",
        "contrast_weight": r"\beta",
        "kd_weight": r"\alpha",
        "kd_temperature": "T_{kd}",
        "temperature": "T",
        "negatives": "M",
    }
    paper: ClassVar[str] = "Tian, Krishnan and Isola, ICLR 2020"
    asks: ClassVar[frozenset[Ask]] = frozenset({"rows"})
    needs: ClassVar[frozenset[Grant]] = frozenset({"features", "probabilities"})
    fixed: ClassVar[frozenset[str]] = frozenset({"dimensions"})
    label_weight: float = Field(1.0, ge=0.0, le=100.0, description="Weight of the true labels.")
    contrast_weight: float = Field(0.8, ge=0.0, le=100.0, description="Weight of the contrastive loss.")
    kd_weight: float = Field(
        0.0,
        ge=0.0,
        le=100.0,
        description="Weight of the teacher's softened probabilities; use about 1 for a short run.",
    )
    kd_temperature: float = Field(4.0, ge=0.1, le=100.0, description="Softens both distributions; 1 = no softening.")
    temperature: float = Field(
        0.07, ge=0.01, le=10.0, description="Divides similarities; small values focus on the nearest rows."
    )
    negatives: int = Field(1024, ge=1, le=16384, description="Negative samples per row, from other classes.")
    momentum: float = Field(0.5, ge=0.0, le=0.999, description="Share of the old embedding kept in the memory bank.")
    dimensions: int = Field(128, ge=2, le=512, description="Size of the embeddings that are compared.")

    def connect(self, pair: Pair) -> Memory:
        """Embeddings and memory; where labels are missing, the teacher is asked about the training rows."""
        widths = pair.student[-1][0], pair.teacher[-1][0]
        return Memory(widths, self.dimensions, pair.targets(pair.answers()), pair.classes)

    def _scores(self, batch: Batch, state: Memory) -> tuple[list[Tensor], list[Tensor]]:
        """Both embeddings, and the similarities (B, 1 + M) over T of each to the other network's memory."""
        assert batch.teacher is not None
        found = state.embeddings(batch.student, batch.teacher)
        negatives = min(self.negatives, len(state.order) - 1)
        drawn = state.others(batch.index, negatives, mix(0, round(batch.progress * 2**40), salt=6))
        rows = torch.cat((batch.index[:, None], drawn), dim=1)
        return found, [
            (ours @ bank.T).gather(1, rows) / self.temperature
            for ours, bank in zip(found, state.banks.unbind()[::-1], strict=True)
        ]

    def terms(self, batch: Batch, state: nn.Module | None) -> dict[str, Term]:
        """Labels, both contrasts and softened probabilities."""
        assert isinstance(state, Memory)
        assert batch.teacher is not None
        rows, contrast = len(state.order), []
        for scores, known in zip(self._scores(batch, state)[1], state.log_z, strict=True):
            log_z = known.where(known.isfinite(), log_partition(scores.detach(), rows))
            contrast.append(contrast_loss(scores, log_z, rows))
        return {
            "labels": Term(self.label_weight, cross_entropy(batch.student.logits, batch.labels)),
            "contrast": Term(self.contrast_weight, contrast[0] + contrast[1]),
            "kd": Term(self.kd_weight, kd_loss(batch.student.logits, batch.teacher.logits, self.kd_temperature)),
        }

    def after_step(self, batch: Batch, state: nn.Module | None) -> None:
        """Write the rows of the batch into the memory; the first step also sets Z."""
        assert isinstance(state, Memory)
        assert batch.teacher is not None
        if batch.progress == 0:
            found, scores = self._scores(batch, state)
            state.log_z.copy_(torch.stack([log_partition(each, len(state.order)) for each in scores]))
        else:
            found = state.embeddings(batch.student, batch.teacher)
        mixed = self.momentum * state.banks[:, batch.index] + (1 - self.momentum) * torch.stack(found)
        state.banks.index_copy_(1, batch.index, F.normalize(mixed, dim=2))

    def metrics(self, batch: Batch, state: nn.Module | None) -> dict[str, Tensor]:
        """Cosines between the embeddings of a row, and of rows of unlike classes, within the batch."""
        assert isinstance(state, Memory)
        assert batch.teacher is not None
        student, teacher = state.embeddings(batch.student, batch.teacher)
        cosines = student @ teacher.T
        targets = state.targets[batch.index]
        unlike = (targets[:, None] != targets).float()
        return {
            "positive": cosines.diagonal().mean(),
            "negative": (cosines * unlike).sum() / unlike.sum().clamp(min=1),
        }
