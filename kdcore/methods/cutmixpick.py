r"""CutMixPick: of many CutMix images, the student learns those on which the teacher is least certain.

Each batch $x$ creates a pool of CutMix samples, `pool` for each image; as many as the batch has are kept as $\hat x$,
those with the highest entropy $H(p_t)$ of the teacher's prediction. The loss is label weight $\lambda$ times
$\mathrm{CE}(z_s, y)$ on $x$ plus KD weight $\alpha$ times the sum of the distillation terms
$T^2\,\mathrm{KL}(p_t\,\|\,p_s)$ on $x$ and on $\hat x$, at temperature $T$.

Source: Wang, Lohit, Jones and Fu, What Makes a "Good" Data Augmentation in Knowledge Distillation - A Statistical
Perspective, NeurIPS 2022, arXiv 2012.02909; a pool of twice the batch, weights .1 and .9 and $T$ 4 as released. The
paper rates an augmentation by the spread of the teacher's mean output over batches, lower being better; that is a
measure and takes no part in the loss.

Departs from it: partner and box are drawn for each sample, in the released code once for a batch, and a sample may be
its own partner, which that code avoids; images and kept samples go through the student in one pass, so that they share
a batch's statistics.

Zero when: the teacher's and the student's logits of each row differ by a constant (the terms "kd" and "picked").
"""

from collections.abc import Callable
from typing import ClassVar

import torch
from pydantic import Field
from torch import Generator, Tensor, nn

from kdcore.contracts.access import Grant
from kdcore.contracts.method import Ask, Batch, Method, Shown, Term
from kdcore.contracts.outputs import Outputs
from kdcore.device import onto
from kdcore.nn.losses import cross_entropy, kd_loss, log_probs
from kdcore.nn.mixing import boxes, partners


def entropies(logits: Tensor) -> Tensor:
    """Entropy (B,) in nats of the softmax of logits (B, C)."""
    log_p = log_probs(logits)
    return -(log_p.exp() * log_p).sum(1)


class CutMixPick(Method):
    """Distillation on the CutMix samples that say most."""

    title: ClassVar[str] = "CutMixPick"
    family: ClassVar[str] = "data"
    equation: ClassVar[str] = (
        r"\mathcal{L} = \lambda\,\mathrm{CE}(z_s, y) + \alpha\,T^2\big(\mathrm{KL}(p_t(x)\,\|\,p_s(x))"
        r" + \mathrm{KL}(p_t(\hat x)\,\|\,p_s(\hat x))\big),\quad \hat x = \mathrm{top}_B\,H(p_t)"
    )
    symbols: ClassVar[dict[str, str]] = {"temperature": "T", "label_weight": r"\lambda", "kd_weight": r"\alpha"}
    paper: ClassVar[str] = "Wang, Lohit, Jones and Fu, NeurIPS 2022"
    needs: ClassVar[frozenset[Grant]] = frozenset({"probabilities"})
    asks: ClassVar[frozenset[Ask]] = frozenset({"mixing"})
    pool: int = Field(2, ge=1, le=16, description="CutMix samples made of each image, of which one in so many is kept.")
    temperature: float = Field(4.0, ge=0.1, le=100.0, description="Softens both distributions; 1 = no softening.")
    label_weight: float = Field(0.1, ge=0.0, le=100.0, description="Weight of the true labels.")
    kd_weight: float = Field(0.9, ge=0.0, le=100.0, description="Weight of the teacher's probabilities.")

    def mix_inputs(self, inputs: Tensor, generator: Generator, teacher: Callable[[Tensor], Outputs]) -> Shown:
        """The images (B, ...), then the B samples of the pool that the teacher doubts most."""
        rows, device = len(inputs), inputs.device
        own = torch.arange(rows, device=device)
        partner = torch.cat([partners(rows, generator, device) for _ in range(self.pool)])
        size = tuple(inputs.shape[2:]) or tuple(inputs.shape[1:])
        box = onto(boxes(len(partner), size, generator), device)
        paste = box[:, None] if inputs.dim() > 2 else box
        pool = inputs[partner].where(paste, inputs.repeat(self.pool, *[1] * (inputs.dim() - 1)))
        picked = entropies(teacher(pool).logits).topk(rows).indices
        seen = torch.cat((inputs, pool[picked]))
        share = 1 - box.flatten(1).float().mean(1)[picked]
        return Shown(
            seen,
            seen,
            partner=torch.cat((own, partner[picked])),
            share=torch.cat((torch.ones_like(share), share)),
            row=torch.cat((own, own.repeat(self.pool)[picked])),
        )

    def terms(self, batch: Batch, state: nn.Module | None) -> dict[str, Term]:
        """Labels and softened probabilities of the images, softened probabilities of what was picked."""
        assert batch.teacher is not None
        student, teacher = batch.student.logits, batch.teacher.logits
        rows = len(student) // 2
        return {
            "labels": Term(self.label_weight, cross_entropy(student[:rows], batch.labels[:rows])),
            "kd": Term(self.kd_weight, kd_loss(student[:rows], teacher[:rows], self.temperature)),
            "picked": Term(self.kd_weight, kd_loss(student[rows:], teacher[rows:], self.temperature)),
        }

    def metrics(self, batch: Batch, state: nn.Module | None) -> dict[str, Tensor]:
        """The teacher's mean entropy on the images and on what was picked."""
        assert batch.teacher is not None
        plain, picked = entropies(batch.teacher.logits).chunk(2)
        return {"entropy": plain.mean(), "entropy_picked": picked.mean()}
