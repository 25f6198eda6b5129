r"""FitNet: one stage of the student, passed through a small trainable regressor, imitates one stage of the teacher.

The loss is label weight $\lambda$ times $\mathrm{CE}(z_s, y)$ plus hint weight $\gamma$ times the mean of $(r(F_s) -
F_t)^2$, where $F_s$ and $F_t$ are the stage features. The regressor $r$ gives the student's feature the shape of the
teacher's: a convolution (transposed where the map must grow), batch normalisation and ReLU.

Source: Romero, Ballas, Ebrahimi Kahou, Chassang, Gatta and Bengio, FitNets: Hints for Thin Deep Nets, ICLR 2015, arXiv
1412.6550. Weight 100, the regressor and training in one go are those of the mdistiller benchmark.

Departs from it: the original learns the hint first and distils afterwards; both are one loss here. Maps whose sizes are
neither equal nor in a ratio of two are resampled before a 1x1 convolution. Where a stage has no positions, both are
averaged over theirs and joined by a normalised linear layer without ReLU, as such features may be negative.

Zero when: the regressed feature of the student equals the teacher's (the term "hint").
"""

from typing import ClassVar

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from kdcore.contracts.access import Grant
from kdcore.contracts.method import Batch, Method, Pair, Term
from kdcore.contracts.net import pooled
from kdcore.errors import BadInput
from kdcore.nn.connectors import connector
from kdcore.nn.losses import cross_entropy


def hint_loss(regressed: Tensor, hint: Tensor) -> Tensor:
    """Mean squared difference of the regressed feature and the hint, both (B, K, H, W), or (B, K) with a pooled hint.

    A hint (B, K, H, W) is averaged over its positions where the regressed feature has none.
    """
    target = pooled(hint) if regressed.dim() == 2 else hint
    return F.mse_loss(regressed.float(), target.float())


class FitNet(Method):
    """Distillation of one intermediate stage."""

    title: ClassVar[str] = "FitNet"
    family: ClassVar[str] = "features"
    equation: ClassVar[str] = (
        r"\mathcal{L} = \lambda\,\mathrm{CE}(z_s, y) + \gamma\,\frac{1}{|F_t|}\,\lVert r(F_s) - F_t \rVert_2^2"
    )
    symbols: ClassVar[dict[str, str]] = {"label_weight": r"\lambda", "hint_weight": r"\gamma"}
    paper: ClassVar[str] = "Romero, Ballas, Ebrahimi Kahou, Chassang, Gatta and Bengio, ICLR 2015"
    needs: ClassVar[frozenset[Grant]] = frozenset({"features"})
    fixed: ClassVar[frozenset[str]] = frozenset({"hint"})
    hint: int = Field(
        0, ge=0, le=64, description="Stage that is imitated, from 1; 0 is the middle one of each network."
    )
    label_weight: float = Field(1.0, ge=0.0, le=100.0, description="Weight of the true labels.")
    hint_weight: float = Field(100.0, ge=0.0, le=1000.0, description="Weight of the hint.")

    def place(self, stages: int) -> int:
        """Index of the stage that takes part, in a network of so many."""
        return (self.hint or (stages + 1) // 2) - 1

    def connect(self, pair: Pair) -> nn.Module:
        """Return the regressor.

        Raises:
            BadInput: one of the two networks has no stage of that number.
        """
        fewest = min(len(pair.student), len(pair.teacher))
        if self.hint > fewest:
            raise BadInput(
                f"FitNet's hint is stage {self.hint}, but the student's stages are {pair.student} and the teacher's "
                f"{pair.teacher}; choose a hint from 0 to {fewest}."
            )
        student, teacher = (stages[self.place(len(stages))] for stages in (pair.student, pair.teacher))
        return connector(student, teacher)

    def terms(self, batch: Batch, state: nn.Module | None) -> dict[str, Term]:
        """Labels and the hint."""
        assert batch.teacher is not None
        assert state is not None
        guided, hint = (side.features[self.place(len(side.features))] for side in (batch.student, batch.teacher))
        return {
            "labels": Term(self.label_weight, cross_entropy(batch.student.logits, batch.labels)),
            "hint": Term(self.hint_weight, hint_loss(state(guided.float()), hint)),
        }
