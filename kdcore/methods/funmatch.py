r"""Function matching: the student copies the teacher on mixed images that both see identically, for a very long time.

Every image $x_i$ is blended with another, $\tilde x = \lambda x_i + (1 - \lambda) x_j$, with a new $\lambda$ for each.
The loss is $T^2\,\mathrm{KL}(\sigma(z_t(\tilde x)/T)\,\|\,\sigma(z_s(\tilde x)/T))$ with $T = 1$, and labels are not
used. `views` shows why both must see the same: "independent" gives the teacher another mixture of the same image,
"fixed" the unmixed image.

Source: Beyer, Zhai, Royer, Markeeva, Anil and Kolesnikov, Knowledge distillation: A good teacher is patient and
consistent, CVPR 2022, arXiv 2106.05237.

Departs from it: $\lambda$ is drawn for each image, theirs once for a batch; as theirs it is uniform, and the larger
part is the image's own. Crops are the data's, the same for both. The paper trains 1200 to 9600 epochs on ImageNet; the
schedule sets how long to train. The temperature may be changed, which the paper's best runs do not need.

Zero when: both see the same and their logits of each row differ by a constant (the term "kd").
"""

from collections.abc import Callable
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Generator, Tensor, nn

from kdcore.contracts.access import Grant
from kdcore.contracts.method import Ask, Batch, Method, Shown, Term
from kdcore.contracts.outputs import Outputs
from kdcore.nn.losses import kd_loss
from kdcore.nn.mixing import blended, partners, shares


def mixture(inputs: Tensor, generator: Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs (B, ...) blended, the partners (B,), and the shares (B,), which are at least a half."""
    partner = partners(len(inputs), generator, inputs.device)
    share = shares(len(inputs), generator, inputs.device)
    share = torch.maximum(share, 1 - share)
    return blended(inputs, partner, share), partner, share


class FunMatch(Method):
    """Patient and consistent teaching."""

    title: ClassVar[str] = "Function matching"
    family: ClassVar[str] = "data"
    equation: ClassVar[str] = (
        r"\mathcal{L} = T^2\,\mathrm{KL}\big(\sigma(z_t(\tilde x)/T)\,\|\,\sigma(z_s(\tilde x)/T)\big),\quad"
        r" \tilde x = \lambda x_i + (1-\lambda) x_j"
    )
    symbols: ClassVar[dict[str, str]] = {"temperature": "T"}
    paper: ClassVar[str] = "Beyer, Zhai, Royer, Markeeva, Anil and Kolesnikov, CVPR 2022"
    needs: ClassVar[frozenset[Grant]] = frozenset({"probabilities"})
    asks: ClassVar[frozenset[Ask]] = frozenset({"mixing"})
    views: Literal["consistent", "independent", "fixed"] = Field(
        "consistent", description="What the teacher sees: the student's mixture, one of its own, or the image itself."
    )
    temperature: float = Field(
        1.0,
        ge=0.1,
        le=100.0,
        description="Softens both distributions; 1 = no softening; use about 4 for a short run.",
    )

    def mix_inputs(self, inputs: Tensor, generator: Generator, teacher: Callable[[Tensor], Outputs]) -> Shown:
        """The student's mixture and the teacher's view."""
        mixed, partner, share = mixture(inputs, generator)
        seen = mixed
        if self.views != "consistent":
            seen = inputs if self.views == "fixed" else mixture(inputs, generator)[0]
        return Shown(mixed, seen, partner, share)

    def terms(self, batch: Batch, state: nn.Module | None) -> dict[str, Term]:
        """The teacher's probabilities and nothing else."""
        assert batch.teacher is not None
        return {"kd": Term(1.0, kd_loss(batch.student.logits, batch.teacher.logits, self.temperature))}

    def metrics(self, batch: Batch, state: nn.Module | None) -> dict[str, Tensor]:
        """How often both choose the same class for what they are shown."""
        assert batch.teacher is not None
        same = batch.student.logits.argmax(1) == batch.teacher.logits.argmax(1)
        return {"agreement": same.float().mean()}
