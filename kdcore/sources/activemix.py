"""Active mixup: mixtures of two local images; those on which the student is least confident are queried.

The pool starts with unchanged local images. In each round, for a pair of local images $x$ and $x'$ the mixture $w x +
(1 - w) x'$ is formed with the $w$ of .30, .34, ..., .70 for which the student's largest probability is smallest, and of
all pairs tried the mixtures on which it is smallest join the pool. Every step shows images of the pool, drawn
uniformly. The teacher is queried once for each image, when it is first shown, at most about start + rounds · add times
in all; mixtures show local images, so they count as such.

Source: Wang, Li, Wang, Zhang and Gong, Neural Networks Are More Productive Teachers Than Human Raters: Active Mixup for
Data-Efficient Knowledge Distillation from a Blackbox Model, CVPR 2020, arXiv 2003.13960; the grid of weights and three
rounds as in the baselines of MEKD's published code.

Departs from it: a fixed number of random pairs is tried in each round, the paper tries all; the student learns on from
round to round with one schedule, the paper trains it for fewer and fewer epochs on the growing pool. The paper starts
from few images with the teacher's answers to all of them, which is `start`.

Zero when: never; a source has no loss.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from kdcore.contracts.net import CHUNK, Net
from kdcore.device import onto
from kdcore.errors import BadInput
from kdcore.generation.networks import Making
from kdcore.generation.source import Maker, Scene
from kdcore.seeding import mix

GRID = tuple(0.30 + 0.04 * place for place in range(11))  # of the first image's weight


class ActiveMixSource(Maker):
    """A growing pool of mixtures of local images."""

    title: ClassVar[str] = "Active mixup"
    local: ClassVar[bool] = True
    queries: ClassVar[bool] = False
    start: int = Field(0, ge=0, le=1_000_000, description="Local images in the pool at first; 0 takes them all.")
    rounds: int = Field(3, ge=0, le=100, description="How often mixtures join the pool.")
    every: int = Field(200, ge=1, le=1_000_000, description="Steps of the student between two rounds.")
    add: int = Field(200, ge=1, le=1_000_000, description="Mixtures that join in each round.")
    pairs: int = Field(1000, ge=1, le=1_000_000, description="Pairs of local images to try in each round.")

    def build(self, scene: Scene) -> Making:
        """Return the pool, with room for what will join.

        Raises:
            BadInput: the data are no images, or more mixtures are to join than pairs are tried.
        """
        if scene.x.dim() != 4:
            raise BadInput("Active mixup mixes images, but the data are points; choose images such as 'digits'.")
        if self.add > self.pairs:
            raise BadInput(
                f"Of {self.pairs} pairs that are tried, {self.add} mixtures cannot join the pool; raise pairs or lower "
                "add."
            )
        first = self._first(scene)
        making = Making()
        room = torch.zeros(self.rounds * self.add, *scene.x.shape[1:], dtype=torch.uint8, device=scene.x.device)
        making.register_buffer("pool", torch.cat((scene.x[first], room)))
        return making

    def _first(self, scene: Scene) -> Tensor:
        """Places of the local images that are in the pool from the beginning."""
        order = torch.randperm(len(scene.x), generator=torch.Generator().manual_seed(mix(scene.seed, 0, salt=23)))
        return order[: self.start or None].sort().values.to(scene.x.device)

    @torch.no_grad()
    def images(self, making: Making, scene: Scene, batch: int, step: int) -> Tensor:
        """Images of the pool, which grows every so many steps."""
        pool = making.get_buffer("pool")
        held = len(pool) - self.rounds * self.add
        done = min(self.rounds, step // self.every)
        if done and step % self.every == 0 and step // self.every <= self.rounds:
            begin = held + (done - 1) * self.add
            pool[begin : begin + self.add] = self._uncertain(scene, done)
        chance = torch.Generator().manual_seed(mix(scene.seed, step, salt=24))
        rows = onto(torch.randint(held + done * self.add, (batch,), generator=chance), pool.device)
        return pool[rows].float() / 127.5 - 1

    def _uncertain(self, scene: Scene, turn: int) -> Tensor:
        """Return the mixtures (A, K, H, W) uint8 that join in a round: of each pair the least sure, and of these
        again.
        """
        chance = torch.Generator().manual_seed(mix(scene.seed, turn, salt=25))
        first, other = onto(torch.randint(len(scene.x), (2, self.pairs), generator=chance), scene.x.device)
        sure = torch.stack([self._sureness(scene, first, other, weight) for weight in GRID])  # (G, P)
        least, place = sure.min(0)
        chosen = least.argsort(stable=True)[: self.add]
        weights = onto(torch.tensor(GRID), scene.x.device)[place[chosen]]
        return mixture(scene.x[first[chosen]], scene.x[other[chosen]], weights)

    def _sureness(self, scene: Scene, first: Tensor, other: Tensor, weight: float) -> Tensor:
        """Return the student's largest probability (P,) for the mixtures of pairs at one weight."""
        weights = torch.full((len(first),), weight, device=first.device)
        parts = zip(*(torch.split(one, CHUNK) for one in (first, other, weights)), strict=True)
        mixed = (mixture(scene.x[a], scene.x[b], w).float() / 127.5 - 1 for a, b, w in parts)
        return torch.cat([_asked(scene.student, scene.inputs(images)).softmax(1).amax(1) for images in mixed])


def mixture(first: Tensor, other: Tensor, weights: Tensor) -> Tensor:
    """Images (B, K, H, W) uint8 of two batches of them, the first's share being `weights` (B,)."""
    share = weights.view(-1, 1, 1, 1)
    return (share * first + (1 - share) * other).round().to(torch.uint8)


def _asked(student: Net, inputs: Tensor) -> Tensor:
    """Return the student's logits (B, C), float32, in eval mode; the mode is put back."""
    training = student.training
    logits: Tensor = student.eval()(inputs).logits.float()
    student.train(training)
    return logits
