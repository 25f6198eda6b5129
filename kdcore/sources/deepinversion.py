r"""DeepInversion: images that the teacher assigns to a class and whose features match its batch-norm statistics.

Before the student's first step, batches of images $x$ in which all classes $y$ are equally frequent are optimised from
noise. They minimise one_hot times $\mathrm{CE}(z_T(x), y)$ plus tv times the total variation $\mathrm{TV}(x)$ plus l2
times $\lVert x\rVert_2$ plus bn times the sum over batch norms of $\lVert \mu(x) - \mathrm{mean}\rVert_2 + \lVert v(x)
- \mathrm{var}\rVert_2$, with $\mu$ and $v$ the statistics of the batch where the teacher's batch norm stores its
running mean and variance. The images join a pool, from which the student learns. With `compete` the optimisation
continues, one update at each of the student's steps, and minimises in addition compete times $1 - \mathrm{JS}(p_T,
p_S)$, which favours images on which the two differ (adaptive DeepInversion). It needs the teacher's internals and its
gradient, so it does not work on a black box.

Source: Yin et al., Dreaming to Distill: Data-free Knowledge Transfer via DeepInversion, CVPR 2020, arXiv 1912.08795,
equations 3, 4 and 6 to 10.

Departs from it: the published settings for CIFAR-10 are batches of 256, 2000 updates (Adam, 0.05 to 0.1), bn 10, tv
2.5e-5; ours are shorter, with beta 1 = 0.5 in place of 0.9, and 8 x 8 pixels need other weights. TV is the sum of the
norms of the batch's differences to the right, down and along both diagonals. Random shifts and mirroring between
updates are left out, as mirrored digits are not digits, and pixels are clipped to black and white, at first and after
each update, which the code published for CIFAR-10 does not do. A round leaves its last images; that code means to keep
those of least loss, but keeps a reference to the tensor that it continues to update, so that it returns the last too,
and the code for ImageNet copies the best. JS is the paper's, at temperature 1, with logarithms to base 2, so it lies
between 0 and 1; the published code softens both answers by T = 3, clamps p_T, p_S and their mean to [0.01, 0.99], and
takes natural logarithms. The student's batch norms use batch statistics of these images and do not update their running
statistics.

Zero when: never, except with all weights but one_hot at 0 and a teacher that is certain.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import log
from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from kdcore.contracts.access import Grant
from kdcore.errors import BadInput
from kdcore.generation.networks import Making, adam, from_bytes, only_images, total
from kdcore.generation.source import Maker, Scene
from kdcore.nn.losses import kl_rows, log_probs
from kdcore.sources._generated import forget, normal, tried
from kdcore.sources._pool import even_labels, fill, lay_out, shown

BEGUN, SHOWN = 55, 56  # salts


class DeepInversion(Maker):
    """Optimised pixels."""

    title: ClassVar[str] = "DeepInversion (white box)"
    needs: ClassVar[frozenset[Grant]] = frozenset({"gradients", "blocks"})
    leading: ClassVar[tuple[str, ...]] = ("updates", "pool", "made")
    updates: int = Field(150, ge=1, le=100_000, description="Updates of the images of a round; published: 2000.")
    made: int = Field(128, ge=2, le=4096, description="Images in a round; published: 256.")
    pool: int = Field(512, ge=2, le=1_000_000, description="Images that are kept, all made before the first step.")
    lr: float = Field(0.05, gt=0.0, le=10.0, description="Learning rate of the pixels (Adam); published: 0.05 to 0.1.")
    one_hot: float = Field(1.0, ge=0.0, le=1000.0, description="Weight of the class.")
    tv: float = Field(2.5e-5, ge=0.0, le=1000.0, description="Weight of the total variation; published: 2.5e-5.")
    l2: float = Field(0.0, ge=0.0, le=1000.0, description="Weight of the norm of the images.")
    bn: float = Field(10.0, ge=0.0, le=1000.0, description="Weight of the batch norms' statistics; published: 10.")
    compete: float = Field(0.0, ge=0.0, le=1000.0, description="Weight of the disagreement with the student; 0: off.")

    @property
    def rounds(self) -> int:
        """Rounds of the lead."""
        return -(-self.pool // self.made)

    def build(self, scene: Scene) -> Making:
        """Return the pixels of one round, and the pool.

        Raises:
            BadInput: the teacher has no batch norm.
        """
        assert scene.teacher_net is not None
        shape = only_images(tuple(scene.x.shape[1:]))
        if not batch_norms(scene.teacher_net):
            raise BadInput(
                "DeepInversion needs a teacher with batch norm, whose statistics it restores, but this one has none; "
                "choose a teacher such as 'cnn' or 'resnet', or another source, such as 'dafl'."
            )
        making = Making()
        making.pixels = nn.Parameter(torch.zeros(self.made, *shape, device=scene.x.device))
        lay_out(making, scene, self.pool)
        making.rules = {"pixels": adam([making.pixels], self.lr, beta1=0.5)}
        return making

    def learn(self, making: Making, scene: Scene, step: int) -> dict[str, Tensor]:
        """One update of the pixels; the first of a round begins with noise, the last leaves them in the pool."""
        turn, update = divmod(step, self.updates)
        pixels = making.get_parameter("pixels")
        if update == 0:
            pixels.data.copy_(normal(scene, tuple(pixels.shape), turn, BEGUN).clamp(-1, 1))
            forget(making.rules["pixels"])
        terms = self._terms(scene, pixels, even_labels(scene, self.made, turn), competing=turn >= self.rounds)
        making.learn("pixels", total(terms))
        pixels.data.clamp_(-1, 1)
        if update + 1 == self.updates:
            fill(making, pixels, turn)
        return {name: term.detach() for name, term in terms.items()}

    def _terms(self, scene: Scene, pixels: Tensor, labels: Tensor, competing: bool) -> dict[str, Tensor]:
        """Return the weighted terms."""
        assert scene.teacher_net is not None
        with watched(scene.teacher_net) as apart:
            theirs = scene.teacher_net(scene.inputs(pixels)).logits.float()
        terms = {"class": self.one_hot * F.cross_entropy(theirs, labels)}
        terms["smooth"] = self.tv * total_variation(pixels) + self.l2 * pixels.norm()
        terms["statistics"] = self.bn * torch.stack(apart).sum()
        if competing:
            terms["compete"] = self.compete * (1 - jensen_shannon(theirs, tried(scene, pixels).logits))
        return terms

    def images(self, making: Making, scene: Scene, batch: int, step: int) -> Tensor:
        """Images of the pool, and one more update of those to come where the student competes."""
        if self.compete:
            making.tell("pixels", self.learn(making, scene, self.lead + step))
        return shown(making, scene, batch, self.pool, step, SHOWN)

    def sample(self, making: Making, latents: Tensor) -> Tensor:
        """Return the first images of the pool, as many as there are latents."""
        pool = making.get_buffer("pool")
        return from_bytes(pool[torch.arange(len(latents), device=pool.device) % len(pool)])


def batch_norms(net: nn.Module) -> list[_BatchNorm]:
    """Return the layers of a network that remember statistics."""
    return [layer for layer in net.modules() if isinstance(layer, _BatchNorm) and layer.running_mean is not None]


@contextmanager
def watched(net: nn.Module) -> Iterator[list[Tensor]]:
    """While it lasts, a forward pass adds a scalar for each batch norm: how far the batch is from its statistics."""
    apart: list[Tensor] = []

    def compare(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(layer, _BatchNorm)
        apart.append(statistics_gap(inputs[0], layer.running_mean, layer.running_var))

    hooks = [layer.register_forward_pre_hook(compare) for layer in batch_norms(net)]
    try:
        yield apart
    finally:
        for hook in hooks:
            hook.remove()


def statistics_gap(maps: Tensor, mean: Tensor | None, variance: Tensor | None) -> Tensor:
    """|mean over batch and positions - mean|_2 + the same of the (biased) variance, for maps (B, K, ...); a scalar."""
    assert mean is not None
    assert variance is not None
    values = maps.float().transpose(0, 1).flatten(1)
    gap: Tensor = (values.mean(1) - mean).norm() + (values.var(1, unbiased=False) - variance).norm()
    return gap


def total_variation(images: Tensor) -> Tensor:
    """Sum of the Euclidean norms of the differences of images (B, K, H, W) to their neighbours to the right, below and
    on both diagonals, each norm over the whole batch; a scalar."""
    right = images[..., :, 1:] - images[..., :, :-1]
    down = images[..., 1:, :] - images[..., :-1, :]
    falling = images[..., 1:, 1:] - images[..., :-1, :-1]
    rising = images[..., 1:, :-1] - images[..., :-1, 1:]
    return torch.stack([part.norm() for part in (right, down, falling, rising)]).sum()


def jensen_shannon(theirs: Tensor, ours: Tensor) -> Tensor:
    """Jensen-Shannon divergence of two answers (B, C), to base 2, averaged over rows: from 0 to 1; a scalar."""
    log_p, log_q = log_probs(theirs), log_probs(ours)
    log_m = torch.logaddexp(log_p, log_q) - log(2)
    return (kl_rows(log_p, log_m) + kl_rows(log_q, log_m)).mean() / (2 * log(2))
