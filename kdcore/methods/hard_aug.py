r"""HARD: a learned augmentation looks for views on which student and teacher disagree, and the student trains on them.

The augmenter $a$ rotates, shifts, zooms, brightens and adds noise to each image by random amounts, from distributions
that it learns within bounds. With $D(u, v) = T^2\,\mathrm{KL}(\sigma(u/T)\,\|\,\sigma(v/T))$ at temperature $T$, the
game is hard weight $\gamma$ times $D(t(a(x)), s(a(x))) - \beta\,D(t(a(x)), t(x))$, with $\beta$ the stay weight: the
student $s$ minimises it and the augmenter maximises it, so it seeks disagreement but not where the teacher $t$ changes
its own prediction. In addition the student minimises label weight $\lambda$ times $\mathrm{CE}(s(x), y)$ plus KD weight
$\alpha$ times $D(t(x), s(x))$. The augmenter's gradient is reversed, so one step serves both.

Source: Nix, Burg and Sinz, HARD: Hard Augmentations for Robust Distillation, 2023, arXiv 2305.14890; we know its
abstract and the game, but not its code, which is not published.

Departs from it: in all that the abstract leaves open, which is ours: the kinds of change and their bounds, amounts that
do not depend on the image, both players moving in the same step, KL as $D$, every weight, and the two terms on
unchanged images. The paper's other augmenter, a trained autoencoder, is left out. Of features only scale, offset and
noise are changed.

Zero when: the student equals the teacher, whatever the augmenter does (the terms "kd" and "hard").
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from kdcore.contracts.access import Grant
from kdcore.contracts.method import Batch, Method, Pair, Term
from kdcore.device import onto
from kdcore.nn.losses import cross_entropy, kd_loss, kl_rows, log_probs, scale_gradient

BOUNDS = {
    "turn": 0.5,  # radians
    "right": 0.25,  # of half the image's width
    "down": 0.25,
    "zoom": 0.25,  # logarithm of the factor
    "brightness": 0.5,  # in standard deviations of the pixels
    "contrast": 0.5,  # logarithm of the factor
    "noise": 0.25,  # standard deviation
}


def moved(images: Tensor, turn: Tensor, right: Tensor, down: Tensor, zoom: Tensor) -> Tensor:
    """Images (B, K, H, W) turned by radians (B,), shifted by shares of half a side and magnified by exp(zoom)."""
    cos, sin = torch.cos(turn) * torch.exp(-zoom), torch.sin(turn) * torch.exp(-zoom)
    seen = torch.stack((torch.stack((cos, sin, -right), 1), torch.stack((-sin, cos, -down), 1)), 1)
    grid = F.affine_grid(seen, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


class _Augmenter(nn.Module):
    """Distributions of amounts, one for each entry of BOUNDS: the bound times tanh of a normal variable."""

    bounds: Tensor

    def __init__(self, strength: float) -> None:
        super().__init__()
        self.register_buffer("bounds", strength * torch.tensor(list(BOUNDS.values())), persistent=False)
        self.centre = nn.Parameter(torch.zeros(len(BOUNDS)))
        self.spread = nn.Parameter(torch.full((len(BOUNDS),), -1.0))  # logarithm

    def amounts(self, drawn: Tensor) -> Tensor:
        """Amounts (B, 7) for normal numbers (B, 7)."""
        return self.bounds * torch.tanh(self.centre + self.spread.exp() * drawn)

    def forward(self, x: Tensor) -> Tensor:
        """Inputs (B, ...) changed, each by its own draw; always the same draw in eval mode."""
        chance = None if self.training else torch.Generator().manual_seed(0)  # drawn on the CPU, as is all chance
        drawn = onto(torch.randn(len(x), len(BOUNDS), generator=chance), x.device)
        grain = onto(torch.randn(x.shape, generator=chance), x.device)
        *place, brightness, contrast, noise = self.amounts(drawn).unbind(1)
        if x.dim() == 4:
            x = moved(x, *place)
        each = (-1, *[1] * (x.dim() - 1))
        return x * contrast.exp().view(each) + brightness.view(each) + noise.view(each) * grain


class HardAug(Method):
    """Distillation where the two networks disagree most."""

    title: ClassVar[str] = "HARD augmentation"
    family: ClassVar[str] = "data"
    equation: ClassVar[str] = (
        r"\mathcal{L} = \lambda\,\mathrm{CE}(s(x), y) + \alpha\,D(t(x), s(x))"
        r" + \gamma\,\max_{a}\big(D(t(a(x)), s(a(x))) - \beta\,D(t(a(x)), t(x))\big)"
    )
    symbols: ClassVar[dict[str, str]] = {
        "label_weight": r"\lambda",
        "kd_weight": r"\alpha",
        "hard_weight": r"\gamma",
        "stay_weight": r"\beta",
    }
    paper: ClassVar[str] = "Nix, Burg and Sinz, arXiv 2305.14890, 2023"
    needs: ClassVar[frozenset[Grant]] = frozenset({"probabilities", "gradients"})
    fixed: ClassVar[frozenset[str]] = frozenset({"strength"})
    strength: float = Field(1.0, ge=0.0, le=3.0, description="Scale of the bounds within which images are changed.")
    temperature: float = Field(4.0, ge=0.1, le=100.0, description="Softens all distributions; 1 = no softening.")
    label_weight: float = Field(0.1, ge=0.0, le=100.0, description="Weight of the true labels.")
    kd_weight: float = Field(0.9, ge=0.0, le=100.0, description="Weight of distillation on unchanged images.")
    hard_weight: float = Field(0.9, ge=0.0, le=100.0, description="Weight of distillation on augmented images.")
    stay_weight: float = Field(1.0, ge=0.0, le=100.0, description="Penalty on changes of the teacher's own prediction.")

    def connect(self, pair: Pair) -> nn.Module:
        """The augmenter."""
        return _Augmenter(self.strength)

    def terms(self, batch: Batch, state: nn.Module | None) -> dict[str, Term]:
        """Labels and teacher on images as they are, and the game on changed ones."""
        assert batch.teacher is not None
        assert batch.teacher_net is not None
        assert state is not None
        changed = scale_gradient(state(batch.inputs), -1.0)
        student, teacher = (net(changed).logits for net in (batch.student_net, batch.teacher_net))
        plain = batch.student.logits
        return {
            "labels": Term(self.label_weight, cross_entropy(plain, batch.labels)),
            "kd": Term(self.kd_weight, kd_loss(plain, batch.teacher.logits, self.temperature)),
            "hard": Term(self.hard_weight, kd_loss(student, teacher, self.temperature)),
            "stay": Term(
                -self.hard_weight * self.stay_weight, kd_loss(batch.teacher.logits, teacher, self.temperature)
            ),
        }

    def metrics(self, batch: Batch, state: nn.Module | None) -> dict[str, Tensor]:
        """How far one standard deviation reaches, for each kind of change."""
        assert isinstance(state, _Augmenter)
        reach = state.bounds * torch.tanh(state.centre.abs() + state.spread.exp())
        return {f"reach_{name}": amount for name, amount in zip(BOUNDS, reach.unbind(), strict=True)}

    def arrays(self, batch: Batch, state: nn.Module | None) -> dict[str, Tensor]:
        """KL(teacher || student) in nats of each changed row, at temperature 1."""
        assert batch.teacher_net is not None
        assert state is not None
        changed = state(batch.inputs)
        log_p, log_q = (log_probs(net(changed).logits) for net in (batch.teacher_net, batch.student_net))
        return {"gap": kl_rows(log_p, log_q)}
