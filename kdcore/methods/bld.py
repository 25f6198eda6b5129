r"""Block-wise logit distillation: the student's first blocks, followed by the teacher's last, must classify well.

The stepping stone $N_i$ sends an input through the student's blocks up to cut $i$, a trainable connector, and then the
teacher's blocks after the cut and its head, which are frozen but let the gradient through. There are $n$ stones with
weights $1/2^{n-i}$. Let $S$ be the student, $T$ the teacher, $d$ the KL divergence of their softened probabilities at
temperature $\tau$, times $\tau^2$, and $\bar N$ the mean of the stones' logits, held constant. The bracket weighted by
$\alpha$ compares student and stones with the labels, the one weighted by $\beta$ with the teacher, and the one weighted
by $\gamma$ with $\bar N$. The simple mode keeps only the student in the first bracket and drops the third. The stones
are discarded after training.

Source: Yu et al., Decoupling Dark Knowledge via Block-wise Logit Distillation for Feature-level Alignment, IEEE
Transactions on Artificial Intelligence 2024, arXiv 2411.01547. The three terms and the halving weights were read in a
secondary source.

Departs from it: we know of no published code, connector, weights or temperature. Ours are $\alpha = \beta = \gamma =
1$, $\tau = 4$ and the factor $\tau^2$, a mean over logits that is held constant, and a connector of one convolution
(3x3; strided or transposed where sizes are in a ratio of two; 1x1 in the simple mode), batch normalisation and, before
a block whose input comes from a ReLU, a leaky ReLU. The simple mode stands for the paper's lightweight variant, whose
form we do not know. Networks with unlike numbers of stages are cut at the nearest relative depth, as often as the
shorter one allows.

Zero when: the student's blocks are the teacher's and every connector is the identity (the terms "distill" and "cross").
"""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from kdcore.contracts.access import Grant
from kdcore.contracts.method import Batch, Joins, Method, Pair, Term
from kdcore.contracts.net import Net
from kdcore.nn.connectors import Activation, connector
from kdcore.nn.losses import cross_entropy, halving, kd_loss
from kdcore.spec.compatibility import cuts, refuse_misfit


def stepping_stones(features: tuple[Tensor, ...], connectors: nn.Module, teacher: Net) -> list[Tensor]:
    """Logits (B, C) of each stone in order, from the student's stage features, each (B, K, H, W) or (B, K).

    The teacher must be in eval mode with frozen weights; gradients flow through it.
    """
    places = cuts(len(features), len(teacher.blocks))
    found = []
    for (mine, theirs), join in zip(places, connectors.children(), strict=True):
        x = join(features[mine - 1].float())
        for block in teacher.blocks[theirs:]:
            x = block(x)
        found.append(teacher.head(x))
    return found


def agreement(student: Tensor, stones: list[Tensor], target: Tensor, temperature: float) -> Tensor:
    """The divergence T^2 KL of a constant target from the student and from the stones, all logits (B, C); a scalar."""
    divergences = [kd_loss(stone, target, temperature) for stone in stones]
    return kd_loss(student, target, temperature) + halving(divergences)


def _rectified(block: nn.Module) -> Activation:
    """What makes a map like those that a block gives: a leaky ReLU where the block ends in a ReLU."""
    return "leaky" if isinstance(list(block.modules())[-1], nn.ReLU) else "none"


class BlockWise(Method):
    """Stepping stones from the student's blocks into the teacher's."""

    title: ClassVar[str] = "Block-wise logit distillation"
    family: ClassVar[str] = "blocks"
    equation: ClassVar[str] = (
        r"\mathcal{L} = \alpha\Big(\mathrm{CE}(S) + \sum_i \tfrac{\mathrm{CE}(N_i)}{2^{n-i}}\Big)"
        r" + \beta\Big(d(T, S) + \sum_i \tfrac{d(T, N_i)}{2^{n-i}}\Big)"
        r" + \gamma\Big(d(\bar N, S) + \sum_i \tfrac{d(\bar N, N_i)}{2^{n-i}}\Big)"
    )
    symbols: ClassVar[dict[str, str]] = {"alpha": r"\alpha", "beta": r"\beta", "gamma": r"\gamma"}
    paper: ClassVar[str] = "Yu et al., IEEE Transactions on Artificial Intelligence 2024"
    needs: ClassVar[frozenset[Grant]] = frozenset({"blocks", "probabilities"})
    joins: ClassVar[Joins] = "blocks"
    fixed: ClassVar[frozenset[str]] = frozenset({"simple"})
    temperature: float = Field(4.0, ge=0.1, le=100.0, description="Softens the distributions that are compared.")
    alpha: float = Field(1.0, ge=0.0, le=100.0, description="Weight of the true labels, for student and stones.")
    beta: float = Field(1.0, ge=0.0, le=100.0, description="Weight of the teacher, for student and stones.")
    gamma: float = Field(1.0, ge=0.0, le=100.0, description="Weight of the stones' mean; the simple mode has none.")
    simple: bool = Field(
        False, description="Plain 1x1 connectors, labels for the student alone, and no mean of stones."
    )

    def connect(self, pair: Pair) -> nn.Module:
        """The connectors, in the order of the cuts.

        Raises:
            BadInput: the student has no map where the teacher goes on with one.
        """
        assert pair.teacher_net is not None
        refuse_misfit(self, pair)
        joins = []
        for mine, theirs in cuts(len(pair.student), len(pair.teacher)):
            student, teacher = pair.student[mine - 1], pair.teacher[theirs - 1]
            last = _rectified(pair.teacher_net.blocks[theirs - 1])
            joins.append(connector(student, teacher, last, kernel=1 if self.simple else 3))
        return nn.ModuleList(joins)

    def terms(self, batch: Batch, state: nn.Module | None) -> dict[str, Term]:
        """Labels, the teacher, and the mean of the stones, for the student and all stones."""
        assert batch.teacher is not None
        student, stones = batch.student.logits, self._stones(batch, state)
        labels = cross_entropy(student, batch.labels)
        distill = Term(self.beta, agreement(student, stones, batch.teacher.logits, self.temperature))
        if self.simple:
            return {"labels": Term(self.alpha, labels), "distill": distill}
        labels = labels + halving([cross_entropy(stone, batch.labels) for stone in stones])
        mean = torch.stack(stones).float().mean(0).detach()
        cross = agreement(student, stones, mean, self.temperature)
        return {"labels": Term(self.alpha, labels), "distill": distill, "cross": Term(self.gamma, cross)}

    def arrays(self, batch: Batch, state: nn.Module | None) -> dict[str, Tensor]:
        """The stones' logits (S, N, C), in order."""
        return {"paths": torch.stack(self._stones(batch, state))}

    def _stones(self, batch: Batch, state: nn.Module | None) -> list[Tensor]:
        assert state is not None
        assert batch.teacher_net is not None
        return stepping_stones(batch.student.features, state, batch.teacher_net)
