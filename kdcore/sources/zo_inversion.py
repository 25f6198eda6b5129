r"""Zeroth-order inversion: a generator learns images of given classes from the teacher's probabilities alone.

Before the student's first step, each round trains a new generator with fixed latents $z$ and labels $y$ in equal parts.
It minimises $\mathrm{CE}(z_T(G(z)), y)$ without a gradient through the teacher: $g = \frac{d}{m}\sum_i \frac{l(x + \mu
u_i) - l(x)}{\mu}\,u_i$ estimates the gradient with respect to the image, with $d$ its number of values and $u_i$
uniform on the unit sphere, and the generator follows the gradient of $\langle x, g\rangle$ with $g$ held fixed. The
images of a round join a pool, from which the student learns.

With a pool of $P$ images in whole rounds of $M$, $U$ updates and $m$ directions, this needs $\lceil P/M\rceil\,M\,U\,(m
+ 1)$ queries, and the student's steps at most about $P$ more.

Source: the gradient estimate and its constants after Hu et al., Learning to Learn from APIs: Black-Box Data-Free
Meta-Learning, ICML 2023, arXiv 2305.18413.

Departs from it: the paper meta-learns from many such teachers; only its inversion of one is implemented here, without
its boundary query set. The published settings are $m = 100$, $\mu = 0.005$ and 200 updates (Adam, 1e-3); ours are
fewer, as 8 x 8 pixels need fewer directions: the cosine to the true gradient is about $\sqrt{m/(m + d)}$. The released
code learns the latents beside the generator, by the same Adam, and keeps the images of the update at which the mean of
$\langle x, g\rangle$ was smallest; here the latents stay fixed and the last images are kept. Its generator begins with
weights of standard deviation 0.02, ours with PyTorch's. Where a probe leaves the range from black to white, a black-box
API clips it. With one that takes whole bytes (upload uint8) a small $\mu$ is lost in rounding: on 8 x 8 digits and with
ours, 6 % of a probe's values change and the cosine falls from 0.37 to 0.12; with 0.04 half of them change, and it is
0.31.

Zero when: the teacher assigns each image's class probability 1; the estimate is then 0 too.
"""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from kdcore.contracts.access import Grant
from kdcore.generation.networks import Making
from kdcore.generation.source import Scene
from kdcore.seeding import mix
from kdcore.sources._differences import forward_differences, unit_directions
from kdcore.sources._generated import Generated, begin, normal
from kdcore.sources._pool import even_labels, fill, lay_out, shown

BEGUN, LATENT, DIRECTIONS, SHOWN = 50, 51, 52, 53  # salts


class ZOInversion(Generated):
    """Images of classes, by asking."""

    title: ClassVar[str] = "Zeroth-order inversion (by queries)"
    needs: ClassVar[frozenset[Grant]] = frozenset({"probabilities"})
    leading: ClassVar[tuple[str, ...]] = ("updates", "pool", "made")
    probes: ClassVar[str] = "reach"
    lr: float = Field(5e-3, gt=0.0, le=0.1, description="Learning rate of the generator (Adam); published: 1e-3.")
    directions: int = Field(10, ge=1, le=1000, description="Directions in which each image is probed; published: 100.")
    reach: float = Field(5e-3, gt=0.0, le=10.0, description="Step along a direction, mu; black to white is 2.")
    updates: int = Field(40, ge=1, le=10_000, description="Updates of each generator; published: 200.")
    made: int = Field(100, ge=2, le=4096, description="Images that each generator leaves.")
    pool: int = Field(300, ge=2, le=1_000_000, description="Images generated before the student's first step.")

    @property
    def rounds(self) -> int:
        """Generators, one after the other."""
        return -(-self.pool // self.made)

    def build(self, scene: Scene) -> Making:
        """Return the generator and the pool."""
        making = super().build(scene)
        lay_out(making, scene, self.pool)
        return making

    def learn(self, making: Making, scene: Scene, step: int) -> dict[str, Tensor]:
        """One update; the first of a round begins a generator, the last leaves its images."""
        making.train()
        turn, update = divmod(step, self.updates)
        if update == 0:
            seed, shape = mix(scene.seed, turn, BEGUN), tuple(scene.x.shape[1:])
            begin(making.generator, making.rules["generator"], lambda: self.generator(shape), seed)
        latents = normal(scene, (self.made, self.latent), turn, LATENT)
        missed = self._follow(making, scene, latents, even_labels(scene, self.made, turn), step)
        if update + 1 == self.updates:
            fill(making, making.generator(latents), turn)
        return {"inversion": missed}

    def _follow(self, making: Making, scene: Scene, latents: Tensor, labels: Tensor, step: int) -> Tensor:
        """One update along the estimate; the loss before it."""
        told: list[Tensor] = []

        def losses(points: Tensor) -> Tensor:
            logits = scene.ask(scene.inputs(points), False).logits
            told.append(F.cross_entropy(logits.float(), labels.repeat(len(points) // len(labels)), reduction="none"))
            return told[-1]

        images = making.generator(latents)
        directions = unit_directions(scene, self.directions, images.shape, step, DIRECTIONS)
        slope = forward_differences(losses, images, directions, self.reach)
        making.learn("generator", (images * slope).sum() / len(images))
        return told[0][: len(images)].mean()

    def images(self, making: Making, scene: Scene, batch: int, step: int) -> Tensor:
        """Images of the pool."""
        return shown(making, scene, batch, self.pool, step, SHOWN)
