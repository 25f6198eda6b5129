r"""Data-free model extraction: a generator that searches for images on which the student disagrees, by queries only.

The generator maximises the disagreement of teacher and student on $G(z)$, and the student then learns on $G(z)$. No
gradient flows through the teacher: the gradient of the disagreement $l$ with respect to the image is estimated by $m$
forward differences along unit directions $u_i$, $\frac{d}{m}\sum_i \frac{l(x + \mu u_i) - l(x)}{\mu}\,u_i$, taken
before the generator's last tanh so that each probe is an image. The disagreement on an image is $\lVert l_T -
l_S\rVert_1$ with $l = \log p - \mathrm{mean} \log p$, after DFME, or $\mathrm{KL}(p_T\,\|\,p_S)$, as in MAZE.

With batch $B$, $g$ updates of the generator every $s$ of $n$ student steps, and a share $r$ of stored images, learning
needs $B + (n - 1)(B - \mathrm{round}(r B))$ queries, and $\lceil n/s\rceil\,g\,(m + 1)\,B$ more to estimate gradients.

Source: Truong, Maini, Walls and Papernot, Data-Free Model Extraction, CVPR 2021, arXiv 2011.14779; Kariyappa, Prakash
and Qureshi, MAZE, CVPR 2021, arXiv 2005.03161, for the KL, several directions and the replay of past images.

Departs from it: DFME's published code centres the teacher's log-probabilities only and compares them with the student's
raw logits, so the student has to match their level too; here both are centred, and a constant added to the student's
logits changes nothing. With $z_T = (3, 1, 0)$ and $z_S = (4, 2.5, 2.5)$ the published sum over classes is 9, ours 5/3.
It takes the mean over classes where we take the sum. The papers' own settings are a latent of 256, batches of 256, one
direction with $\mu = 0.001$, one update of the generator (Adam, 1e-4, beta 1 = 0.9, three cuts of its rate to 0.3) to
five of the student (SGD, 0.1), and 20 million queries for CIFAR-10; ours are smaller, with beta 1 = 0.5 and a cosine
schedule. The generator has the layers of MEKD's published code, narrower (32 maps) and with epsilon 1e-5 in its batch
norms. The student's loss is the run's method. Its batch norms use batch statistics of these images and do not update
their running statistics. MAZE replays whole batches after each round; `retain` mixes stored images into each batch.
With a black-box API that takes images as whole bytes (upload uint8), $\mu = 0.001$ is lost in rounding: on 8 x 8 digits
57 % of the probes are then the image itself, and 1 % of the values change; with 0.04 it is 38 %.

Zero when: teacher and student give all images the same probabilities; the estimate is then 0 too.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from kdcore.contracts.access import Grant
from kdcore.generation.networks import Making
from kdcore.generation.source import Scene
from kdcore.nn.losses import kl_rows, log_probs
from kdcore.sources._differences import forward_differences, unit_directions
from kdcore.sources._game import Game
from kdcore.sources._generated import tried

DIRECTIONS = 45  # salt


class DFME(Game):
    """A game by queries alone."""

    title: ClassVar[str] = "DFME's generator (by queries)"
    needs: ClassVar[frozenset[Grant]] = frozenset({"probabilities"})
    probes: ClassVar[str] = "reach"
    directions: int = Field(1, ge=1, le=1000, description="Directions in which each image is probed.")
    reach: float = Field(1e-3, gt=0.0, le=1.0, description="Step along a direction, mu.")
    disagreement: Literal["l1", "kl"] = Field("l1", description="l1 of centred log-probabilities (DFME) or KL (MAZE).")

    def play(self, making: Making, scene: Scene, latents: Tensor, place: int, share: float) -> None:
        """One update along the estimated gradient: that of the mean over images of <x, estimate>."""
        raw = making.generator.raw(latents)  # type: ignore[operator]
        directions = unit_directions(scene, self.directions, raw.shape, place, DIRECTIONS)
        found: list[Tensor] = []

        def losses(points: Tensor) -> Tensor:
            found.append(self._losses(scene, points.tanh()))
            return found[-1]

        slope = forward_differences(losses, raw, directions, self.reach)
        making.learn("generator", (raw * slope).sum() / len(raw), share)
        making.tell("generator", {"disagreement": found[0][: len(raw)].mean()})

    def _losses(self, scene: Scene, images: Tensor) -> Tensor:
        """Return what the generator minimises for each image (N,): the disagreement, negative."""
        theirs = scene.ask(scene.inputs(images), False).logits
        return -disagreement(theirs, tried(scene, images).logits, self.disagreement)


def disagreement(theirs: Tensor, ours: Tensor, form: str) -> Tensor:
    """How far two answers (B, C), known up to a constant per row, are apart; (B,).

    Args:
        form: "l1", the sum over classes of the absolute difference of centred logits; "kl", KL(theirs || ours).
    """
    if form == "kl":
        return kl_rows(log_probs(theirs), log_probs(ours))
    theirs, ours = (logits.float() - logits.float().mean(1, keepdim=True) for logits in (theirs, ours))
    return (theirs - ours).abs().sum(1)
