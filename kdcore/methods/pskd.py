r"""Progressive self-distillation: the student's earlier prediction softens the label, more and more over the run.

With $p^{\mathrm{last}}$ the probabilities the student assigned to a row when it last saw it, the target is $(1 -
a_t)\,y + a_t\,p^{\mathrm{last}}$, where the share $a_t$ rises from 0 to $\alpha$ in the course of the run. As
cross-entropy is linear in its target, the loss is $(1 - a_t)\,\mathrm{CE}(z_s, y) + a_t\,\mathrm{CE}(z_s,
p^{\mathrm{last}})$. For a row not seen yet, the label replaces $p^{\mathrm{last}}$.

Source: Kim, Ji, Yoon and Hwang, Self-Knowledge Distillation with Progressive Refinement of Targets, ICCV 2021, arXiv
2006.12000; $\alpha$ 0.8.

Departs from it: the share rises with every step, theirs with every epoch; an unlabelled row contributes only the
student's own earlier prediction, and nothing when first seen. Held-out rows were never seen, so no target is shown for
them. The paper trains for 300 epochs: while the student still has much to learn, its earlier predictions hold it back
by that share, so in a run of few epochs it falls behind plain training.

Zero when: every row is seen for the first time with no label; otherwise the loss is smallest, and equals the target's
entropy, when the student's probabilities equal the target.
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from kdcore.contracts.method import Ask, Batch, Method, Pair, Term
from kdcore.nn.losses import cross_entropy, log_probs, soft_cross_entropy


def first_table(labels: Tensor, classes: int) -> Tensor:
    """One-hot rows (N, C) of labels (N,), zero where unlabelled."""
    return F.one_hot(labels.clamp(min=0), classes).float() * (labels >= 0)[:, None]


class _Remembered(nn.Module):
    """The student's last probabilities for all training rows, in the order of the rows."""

    last: Tensor  # (N, C)

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.register_buffer("last", table)


class PSKD(Method):
    """The student as its own teacher."""

    title: ClassVar[str] = "Progressive self-distillation"
    family: ClassVar[str] = "self"
    equation: ClassVar[str] = (
        r"\mathcal{L} = (1 - a_t)\,\mathrm{CE}(z_s, y) + a_t\,\mathrm{CE}\big(z_s, p^{\mathrm{last}}\big),"
        r" \quad a_t = \alpha\,t"
    )
    symbols: ClassVar[dict[str, str]] = {"alpha": r"\alpha"}
    paper: ClassVar[str] = "Kim, Ji, Yoon and Hwang, ICCV 2021"
    asks: ClassVar[frozenset[Ask]] = frozenset({"rows"})
    alpha: float = Field(
        0.8,
        ge=0.0,
        le=1.0,
        description="Share of its own earlier prediction at the end; a large share needs many epochs.",
    )

    def connect(self, pair: Pair) -> nn.Module:
        """The table of last answers, at first the labels."""
        return _Remembered(first_table(pair.labels, pair.classes))

    def earlier(self, batch: Batch, state: nn.Module | None) -> Tensor:
        """What the student said of these rows (B, C) when it last saw them."""
        assert isinstance(state, _Remembered)
        return state.last[batch.index]

    def terms(self, batch: Batch, state: nn.Module | None) -> dict[str, Term]:
        """Labels and its own earlier answer."""
        share, logits = self.alpha * batch.progress, batch.student.logits
        return {
            "labels": Term(1.0 - share, cross_entropy(logits, batch.labels)),
            "self": Term(share, soft_cross_entropy(logits, self.earlier(batch, state))),
        }

    def metrics(self, batch: Batch, state: nn.Module | None) -> dict[str, Tensor]:
        """The share of the earlier answer, and how far the answers moved since then (total variation)."""
        now = log_probs(batch.student.logits).exp()
        drift = (now - self.earlier(batch, state)).abs().sum(1).mean() / 2
        return {"share": torch.full_like(drift, self.alpha * batch.progress), "drift": drift}

    def after_step(self, batch: Batch, state: nn.Module | None) -> None:
        """Keep this step's answers in the places of their rows."""
        assert isinstance(state, _Remembered)
        state.last.index_copy_(0, batch.index, log_probs(batch.student.logits.detach()).exp())
