r"""DFHL-RS: images on which the student is least certain, queried for hard labels only.

Every `every` steps of the student a new generator is trained for some steps with the student in the teacher's place: it
minimises $\mathrm{KL}(\tilde y\,\|\,q)$ plus balance times $\sum_c p_c \log_{10} p_c$, with $q$ the student's
probabilities, $p$ their mean over the batch and $y$ labels in equal parts; the smoothed label $\tilde y$ has $1 - s$ at
its class and $s/(C - 1)$ at each other. Its images join a pool. The images shown to the student and sent to the teacher
are images of the pool after ten steps along the sign of the gradient that raises the entropy of $q$.

With batch $B$ and $n$ steps of the student, learning needs at most $n B$ queries; the gradients are the student's own
and cost no query.

Source: Yuan, Chen, Zhang, Zhang and Yu, Data-Free Hard-Label Robustness Stealing Attack, AAAI 2024, arXiv 2312.05924,
with constants of the code published with it: smoothing 0.2 for ten classes (0.02 for 100), balance 3, ten steps of
0.03.

Departs from it: its setting is CIFAR with an adversarially trained teacher, and it evaluates robustness, which we do
not. Its published code makes the generator once and keeps it over all 300 rounds, learns the latents beside it (Adam,
0.01 for them and 0.002 for the generator), draws labels at random, takes 10 updates and 256 images a round to 500 steps
of the student, and keeps the batch of least loss; here each round begins a new generator, the latents stay fixed, all
classes are equally frequent, 50 updates at 0.01 leave 100 images for 20 steps, and the last images are kept. It starts
the ascent from images with noise of 0.001 added, ours from the images themselves; its pool keeps all of them. A step is
0.03 of the range from black to white, and images are clipped to that range and to nothing narrower. The student's batch
norms use batch statistics of these images and do not update their running statistics, and augmentation is left out. The
pool is small, as the teacher may assign all images of the first rounds to one class, and those that remain hold the
student back.

Zero when: never; the divergence is zero where $q$ is the smoothed label, but the balance is at least $-\log_{10} C$.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from kdcore.contracts.access import Grant
from kdcore.generation.networks import Making
from kdcore.generation.source import Scene
from kdcore.nn.losses import kl, log_probs
from kdcore.sources._balance import balance
from kdcore.sources._generated import tried
from kdcore.sources._rounds import Rounds


class DFHLRS(Rounds):
    """Images of high entropy."""

    title: ClassVar[str] = "DFHL-RS, images of high entropy"
    needs: ClassVar[frozenset[Grant]] = frozenset({"labels"})
    queries: ClassVar[bool] = False
    lr: float = Field(0.01, gt=0.0, le=0.1, description="Learning rate of the generator (Adam).")
    updates: int = Field(50, ge=1, le=10_000, description="Updates of each generator.")
    made: int = Field(100, ge=2, le=4096, description="Images that each generator leaves.")
    every: int = Field(20, ge=1, le=100_000, description="Steps of the student from one generator to the next.")
    pool: int = Field(1000, ge=2, le=1_000_000, description="Images that are kept, the latest.")
    smoothing: float = Field(0.2, ge=0.0, lt=1.0, description="Share of a label spread evenly over the other classes.")
    balance: float = Field(3.0, ge=0.0, le=100.0, description="Weight of classes in equal parts; published: 3.")
    climbs: int = Field(10, ge=0, le=100, description="Steps that raise the student's entropy; published: 10.")
    reach: float = Field(0.03, gt=0.0, le=1.0, description="Length of such a step; black to white is 1.")

    def terms(self, scene: Scene, images: Tensor, labels: Tensor, place: int) -> dict[str, Tensor]:
        """Smoothed labels and their balance, through the student."""
        logits = tried(scene, images).logits
        return {"labels": smoothed_kl(logits, labels, self.smoothing), "balance": self.balance * balance(logits)}

    def images(self, making: Making, scene: Scene, batch: int, step: int) -> Tensor:
        """Images of the pool, raised in entropy."""
        images = super().images(making, scene, batch, step)
        for _ in range(self.climbs):
            images = self._climbed(scene, images)
        return images

    def _climbed(self, scene: Scene, images: Tensor) -> Tensor:
        """One step up the student's entropy; black to white is 2 in images."""
        images = images.detach().requires_grad_()
        (slope,) = torch.autograd.grad(entropy(tried(scene, images).logits), images)
        return (images.detach() + 2 * self.reach * slope.sign()).clamp(-1, 1)


def smoothed_kl(logits: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    """KL(y || q) in nats, averaged over rows, for logits (B, C) and labels (B,) that give a share to the others."""
    classes = logits.shape[1]
    each = smoothing / (classes - 1)
    target = (1 - smoothing - each) * F.one_hot(labels, classes).float() + each
    return kl(target.clamp(min=1e-30).log(), log_probs(logits))


def entropy(logits: Tensor) -> Tensor:
    """Sum over rows of the entropy in nats of logits (B, C); each row's gradient is its own. A scalar."""
    log_q = log_probs(logits)
    return -(log_q.exp() * log_q).sum()
