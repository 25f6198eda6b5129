r"""MIX-KD: some images are mixed in pairs, and both networks' logits are scaled alike before they are compared.

A share of the images is blended with a partner, $x = \lambda x_i + (1 - \lambda) x_j$ with $\lambda$ uniform; the
others stay unmixed. With $u = z/\mathrm{std}(z)$ over the classes of a row, the loss is label weight $\gamma$ times
$\lambda\,\mathrm{CE}(u_s, y_i) + (1 - \lambda)\,\mathrm{CE}(u_s, y_j)$ plus KD weight $\alpha$ times
$\mathrm{KL}(\sigma(u_t)\,\|\,\sigma(u_s))$. The study finds that too much mixing smooths the teacher until it carries
little information on the other classes; mixing few pairs, at a temperature for each row, preserves that information.
With two classes, a scaled row only says which is larger, so nothing is learned from it: use data with three classes or
more.

Source: Choi, Jeon, Shukla and Turaga, Understanding the Role of Mixup in Knowledge Distillation: An Empirical Study,
WACV 2023, arXiv 2211.03946; weights .1 and .9 and Beta(1, 1) as released.

Departs from it: every image is mixed with probability `mixed`. The released code draws the unmixed tenths with
replacement, so that with its setting for a tenth about four tenths are mixed. For an unlabelled image its label's part
is left out. Rows are centred before they are scaled, which changes no softmax, and a standard deviation of 0 is
allowed.

Zero when: the teacher's and the student's logits of each row agree up to shift and scale (the term "kd").
"""

from collections.abc import Callable
from typing import ClassVar

import torch
from pydantic import Field
from torch import Generator, Tensor, nn

from kdcore.contracts.access import Grant
from kdcore.contracts.method import Ask, Batch, Method, Shown, Term
from kdcore.contracts.outputs import Outputs
from kdcore.nn.losses import compared, kd_loss
from kdcore.nn.mixing import blended, mixed_cross_entropy, partners, shares


class MixKD(Method):
    """Distillation with partial mixup."""

    title: ClassVar[str] = "MIX-KD"
    family: ClassVar[str] = "data"
    equation: ClassVar[str] = (
        r"\mathcal{L} = \gamma\,\mathrm{CE}(u_s, \lambda y_i + (1-\lambda) y_j) + \alpha\,"
        r"\mathrm{KL}\big(\sigma(u_t)\,\|\,\sigma(u_s)\big),\quad u = z / \mathrm{std}(z)"
    )
    symbols: ClassVar[dict[str, str]] = {"label_weight": r"\gamma", "kd_weight": r"\alpha"}
    paper: ClassVar[str] = "Choi, Jeon, Shukla and Turaga, WACV 2023"
    needs: ClassVar[frozenset[Grant]] = frozenset({"probabilities"})
    asks: ClassVar[frozenset[Ask]] = frozenset({"mixing"})
    mixed: float = Field(0.1, ge=0.0, le=1.0, description="Share of the images that are mixed with another.")
    label_weight: float = Field(0.1, ge=0.0, le=100.0, description="Weight of the true labels, mixed as the images.")
    kd_weight: float = Field(0.9, ge=0.0, le=100.0, description="Weight of the teacher's probabilities.")

    def mix_inputs(self, inputs: Tensor, generator: Generator, teacher: Callable[[Tensor], Outputs]) -> Shown:
        """The same mixtures to both."""
        rows, device = len(inputs), inputs.device
        partner, share = partners(rows, generator, device), shares(rows, generator, device)
        share = share.where(shares(rows, generator, device) < self.mixed, torch.ones_like(share))
        mixed = blended(inputs, partner, share)
        return Shown(mixed, mixed, partner, share)

    def terms(self, batch: Batch, state: nn.Module | None) -> dict[str, Term]:
        """Mixed labels and scaled logits."""
        assert batch.shown is not None
        student, teacher = compared(batch, standardise=True)
        labels = mixed_cross_entropy(student, batch.labels, batch.shown.partner, batch.shown.share)
        return {
            "labels": Term(self.label_weight, labels),
            "kd": Term(self.kd_weight, kd_loss(student, teacher, 1.0)),
        }
