r"""Mapping-emulation distillation: student and teacher logits are aligned as images that a generator makes of them.

Let $G$ be the frozen generator of the source, $z_t$ and $z_s$ the outputs of teacher and student for a synthetic image,
and $\tau$ the divisor that turns outputs into latents. The loss is image weight $\lambda$ times the mean over images of
$\lVert G(z_s/\tau) - G(z_t/\tau)\rVert_1$ plus KL weight $\beta$ times
$T\,\mathrm{KL}(\sigma(z_t/T)\,\|\,\sigma(z_s/T))$.

Only the first term uses the generator. Its gradient on the student's logits is the generator's transposed Jacobian
times the sign of the difference, divided by $\tau$; that of the second is $\sigma(z_s/T) - \sigma(z_t/T)$ times a
constant. The panel "Pull" shows the angle between them.

Source: Ma, Xiang, Wang, Wu and Li, Aligning Logits Generatively for Principled Black-Box Knowledge Distillation, CVPR
2024, arXiv 2205.10490, and the code published with it.

Departs from it: the mean over pixels is the published code's, the sum the paper's, and the squared difference an option
of both; the KL term's factor is $T$ in the code; $T^2$, as in plain distillation, is an option of ours. The teacher's
outputs come through its access level, so probabilities are centred log-probabilities; the code hands raw logits on.

Zero when: the student's outputs equal the teacher's.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from kdcore.contracts.access import Grant
from kdcore.contracts.method import Ask, Batch, Method, Term
from kdcore.nn.losses import kl, log_probs

PULLED = 32  # rows whose gradients are shown; each goes through the generator and back


class MEKD(Method):
    """Alignment of logits through the images that a generator makes of them."""

    title: ClassVar[str] = "Mapping-emulation KD (MEKD)"
    family: ClassVar[str] = "black box"
    equation: ClassVar[str] = (
        r"\mathcal{L} = \lambda\,\big\|G(z_s/\tau) - G(z_t/\tau)\big\|_1"
        r" + \beta\,T\,\mathrm{KL}\big(\sigma(z_t/T)\,\|\,\sigma(z_s/T)\big)"
    )
    symbols: ClassVar[dict[str, str]] = {"image_weight": r"\lambda", "kl_weight": r"\beta", "temperature": "T"}
    paper: ClassVar[str] = "Ma, Xiang, Wang, Wu and Li, CVPR 2024"
    needs: ClassVar[frozenset[Grant]] = frozenset({"labels"})
    asks: ClassVar[frozenset[Ask]] = frozenset({"inverse"})
    image_weight: float = Field(1.0, ge=0.0, le=100.0, description="Weight of the images' difference.")
    kl_weight: float = Field(0.5, ge=0.0, le=100.0, description="Weight of the KL term; the paper's 0.5, the code's 1.")
    distance: Literal["l1", "l2"] = Field("l1", description="Absolute or squared difference of pixels.")
    pixels: Literal["mean", "sum"] = Field("mean", description="Over the pixels: mean (published code) or sum (paper).")
    temperature: float = Field(5.0, ge=0.1, le=100.0, description="Softens both distributions in the KL term.")
    factor: Literal["T", "T^2"] = Field("T", description="Factor of the KL term.")

    def terms(self, batch: Batch, state: nn.Module | None) -> dict[str, Term]:
        """Images and softened answers."""
        assert batch.teacher is not None
        assert batch.invert is not None
        ours, theirs = batch.student.logits.float(), batch.teacher.logits.float()
        with torch.no_grad():
            goal = batch.invert(theirs)
        difference = image_distance(batch.invert(ours), goal, self.distance, self.pixels)
        scale = self.temperature if self.factor == "T" else self.temperature**2
        softened = scale * kl(log_probs(theirs, self.temperature), log_probs(ours, self.temperature))
        return {"image": Term(self.image_weight, difference), "kl": Term(self.kl_weight, softened)}

    def arrays(self, batch: Batch, state: nn.Module | None) -> dict[str, Tensor]:
        """The pull of both terms on the logits of the first rows: norms (M,) and the cosine between them (M,)."""
        assert batch.teacher is not None
        ours, theirs = (said._replace(logits=said.logits[:PULLED]) for said in (batch.student, batch.teacher))
        with torch.enable_grad():
            logits = ours.logits.detach().float().requires_grad_()
            alike = batch._replace(student=ours._replace(logits=logits), teacher=theirs)
            pulls = [
                term.weight * torch.autograd.grad(term.value, logits, retain_graph=True)[0] * len(logits)
                for term in self.terms(alike, state).values()
            ]
        image, kl_pull = (pull.detach() for pull in pulls)
        return {
            "image_pull": image.norm(dim=1),
            "kl_pull": kl_pull.norm(dim=1),
            "pull_cosine": torch.cosine_similarity(image, kl_pull, dim=1),
        }


def image_distance(ours: Tensor, theirs: Tensor, distance: str, pixels: str) -> Tensor:
    """Difference of two batches of images (B, K, H, W): mean over images of the mean or sum over pixels; a scalar."""
    gap = ours - theirs
    each = (gap.abs() if distance == "l1" else gap.square()).flatten(1)
    return (each.mean(1) if pixels == "mean" else each.sum(1)).mean()
