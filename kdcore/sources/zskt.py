r"""Zero-shot knowledge transfer: a generator maximises the KL of teacher and student, using the teacher's gradient.

The generator minimises $-\mathrm{KL}(p_T\,\|\,p_S)$, averaged over the images $G(z)$, with the gradient through both
networks; then the student learns for several steps on new $G(z)$. It needs the teacher's gradient, so it does not work
on a black box.

Source: Micaelli and Storkey, Zero-shot Knowledge Transfer via Adversarial Belief Matching, NeurIPS 2019, arXiv
1905.09768; `retain` after Patel, Mopuri and Qiu, Learning to Retain while Acquiring, CVPR 2023, arXiv 2302.14290.

Departs from it: in the published code one $z$ serves the generator's update and the student's ten, so the student
learns ten times from one batch, and from the very $z$ that the generator has just learned on; the teacher labels that
batch once for the ten. Here each step of the student draws new $z$, and the teacher labels a batch at each. The
published settings are one update of the generator (Adam, 1e-3, beta 1 = 0.9) to ten of the student (Adam, 2e-3),
batches of 128, a cosine schedule, gradients clipped to 5, and 80 000 batches; ours take turns sooner, have beta 1 = 0.5
and do not clip; the generator has the layers of MEKD's published code, narrower (32 maps) and with epsilon 1e-5 in its
batch norms, and ends in tanh in place of batch norm. The published divergence is averaged over classes too, which is
$1/C$ of ours. The student's loss is the run's method; the paper adds attention transfer, worth about 2 points. The
student's batch norms use batch statistics of these images and do not update their running statistics. `retain` is ours:
it mixes stored images into each batch, which is the paper's idea without the inner step whose gradients it aligns.

Zero when: the two networks give the same probabilities.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from kdcore.contracts.access import Grant
from kdcore.generation.source import Scene
from kdcore.nn.losses import kl, log_probs
from kdcore.sources._game import Game
from kdcore.sources._generated import tried


class ZSKT(Game):
    """Adversarial belief matching."""

    title: ClassVar[str] = "ZSKT's generator (white box)"
    needs: ClassVar[frozenset[Grant]] = frozenset({"gradients"})

    def terms(self, scene: Scene, images: Tensor) -> dict[str, Tensor]:
        """Return the divergence, negative."""
        assert scene.teacher_net is not None
        theirs = scene.teacher_net(scene.inputs(images)).logits
        return {"divergence": -kl(log_probs(theirs), log_probs(tried(scene, images).logits))}
