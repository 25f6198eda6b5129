r"""IDEAL: a generator trained through the student alone, so that each image needs one query for the teacher's label.

Every `every` steps of the student a new generator is trained for some steps with the student in the teacher's place: it
minimises $\mathrm{CE}(z_S, y)$ plus entropy times the mean over images and classes of $q \log q$, with $q$ the
student's probabilities for the slightly shifted image and $y$ labels in equal parts. Its images join a pool, and the
student learns the teacher's labels for images of the pool.

With $r$ rounds, one every `every` steps, learning needs at most `made` · $r$ queries: one for each image of the pool,
when it is first shown, and none for gradients.

Source: Zhang, Chen and Lyu, IDEAL: Query-Efficient Data-Free Learning from Black-Box Models, ICLR 2023, arXiv
2205.11158, and the constants of the code published with it.

Departs from it: the published settings for MNIST are a latent of 256, 30 updates (Adam, 1e-3) and 250 images a round,
100 rounds, entropy weight 5 and SGD at 0.01 for the student; here the latent is smaller, rounds are fewer and longer
(100 updates at 3e-3 taught small students more). The generator has the layers of MEKD's published code, narrower (32
maps) and with epsilon 1e-5 in its batch norms. IDEAL's published code keeps the images of the update whose loss was
least, ours those after the last update. It queries images of the pool again in each round; here their labels are
cached. A shift of the whole batch, by a pixel, replaces its random crops after padding by 4 and its mirroring. The
student's batch norms use batch statistics of these images and do not update their running statistics.

Zero when: never; the entropy term is at least $-\log C/C$, with $C$ the number of classes.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from kdcore.contracts.access import Grant
from kdcore.generation.source import Scene
from kdcore.nn.losses import log_probs
from kdcore.seeding import mix
from kdcore.sources._generated import tried
from kdcore.sources._rounds import Rounds

SHIFT = 49  # salt


class IDEAL(Rounds):
    """A generator that queries nobody."""

    title: ClassVar[str] = "IDEAL's generator"
    needs: ClassVar[frozenset[Grant]] = frozenset({"labels"})
    queries: ClassVar[bool] = False
    entropy: float = Field(5.0, ge=0.0, le=100.0, description="Weight of the student's entropy; published: 5.")
    shift: int = Field(1, ge=0, le=8, description="Pixels by which images are shifted, at most, before the student.")

    def terms(self, scene: Scene, images: Tensor, labels: Tensor, place: int) -> dict[str, Tensor]:
        """Labels and doubt of the student."""
        chance = torch.Generator().manual_seed(mix(scene.seed, place, SHIFT))
        down, right = (torch.randint(2 * self.shift + 1, (2,), generator=chance) - self.shift).tolist()
        logits = tried(scene, moved(images, down, right)).logits
        return {"labels": F.cross_entropy(logits.float(), labels), "doubt": self.entropy * doubt(logits)}


def doubt(logits: Tensor) -> Tensor:
    """Mean over rows and classes of q log q in nats, for logits (B, C); least where every q is 1/C; a scalar."""
    log_q = log_probs(logits)
    return (log_q.exp() * log_q).mean()


def moved(images: Tensor, down: int, right: int) -> Tensor:
    """Images (B, K, H, W) shifted by whole pixels; black, -1, comes in."""
    height, width = images.shape[2:]
    reach = max(abs(down), abs(right))
    framed = F.pad(images, (reach,) * 4, value=-1.0)
    return framed[:, :, reach - down : reach - down + height, reach - right : reach - right + width]
