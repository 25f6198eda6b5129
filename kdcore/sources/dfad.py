"""Data-free adversarial distillation: a generator that maximises the logit difference, with the teacher's gradient.

For synthetic images $G(z)$ the generator minimises minus the mean of $|z_T - z_S|$ over images and classes, with the
gradient through both networks; then the student learns for a few steps on new $G(z)$. It needs the teacher's gradient,
so it does not work on a black box: it shows what query-only methods have to make up for.

Source: Fang et al., Data-Free Adversarial Distillation, arXiv 1912.11006; `retain` after Patel, Mopuri and Qiu,
Learning to Retain while Acquiring, CVPR 2023, arXiv 2302.14290.

Departs from it: the published settings for MNIST are a latent of 100, batches of 512, five updates of the student (SGD,
0.01) and then one of the generator (Adam, 1e-3, beta 1 = 0.9, at a constant rate), 40 times 50 of them; ours are
smaller, the generator goes first, with beta 1 = 0.5 and a cosine schedule, and has the layers of MEKD's published code,
narrower (32 maps) and with epsilon 1e-5 in its batch norms. The student's loss is the run's method; the paper's is the
same distance of logits. The student's batch norms use batch statistics of these images and do not update their running
statistics. `retain` is ours: it mixes stored images into each batch, which is the paper's idea without the inner step
whose gradients it aligns.

Zero when: the two networks' logits are equal.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from kdcore.contracts.access import Grant
from kdcore.generation.source import Scene
from kdcore.sources._game import Game
from kdcore.sources._generated import tried


class DFAD(Game):
    """A game through the teacher's gradient."""

    title: ClassVar[str] = "DFAD's generator (white box)"
    needs: ClassVar[frozenset[Grant]] = frozenset({"gradients"})

    def terms(self, scene: Scene, images: Tensor) -> dict[str, Tensor]:
        """Return the difference of logits, negative."""
        assert scene.teacher_net is not None
        theirs = scene.teacher_net(scene.inputs(images)).logits
        return {"difference": -logit_distance(theirs, tried(scene, images).logits)}


def logit_distance(theirs: Tensor, ours: Tensor) -> Tensor:
    """Mean over rows and classes of the absolute difference of logits (B, C), in float32; a scalar."""
    return (theirs.float() - ours.float()).abs().mean()
