r"""Data-free learning: a generator of images with strong activations, confident predictions and all classes.

For synthetic images $G(z)$ the generator minimises one_hot times $\mathrm{CE}(z_T, \arg\max z_T)$ minus activation
times the mean of $|f_T|$ plus balance times $\sum_c p_c \log_{10} p_c$, with $z_T$ and $f_T$ the teacher's logits and
its pooled last feature and $p$ its mean probabilities over the batch. It needs the teacher's features and gradient, so
it does not work on a black box, and it ignores the student.

Source: Chen et al., Data-Free Learning of Student Networks, ICCV 2019, arXiv 1904.01186; `retain` after Patel, Mopuri
and Qiu, Learning to Retain while Acquiring, CVPR 2023, arXiv 2302.14290.

Departs from it: the published settings for MNIST are weights 1, 0.1 and 5, a latent of 100, batches of 512, 200 times
120 steps of generator (0.2) and student (Adam, 2e-3) together; for CIFAR-10 weights 0.05, 0.01 and 5, a latent of 1000,
batches of 1024, 2000 times 120 steps, the generator at 0.02 and SGD at 0.1. Ours are smaller. The released code
generates one batch a step, from which both learn, and the gradient of the student's loss reaches the generator too;
here the generator learns from the teacher alone, and the student then learns on new z. Its generator moves by Adam with
beta 1 = 0.9 at a constant rate; ours has beta 1 = 0.5 and a cosine schedule. It has 128 maps, epsilon 0.8 in its second
and third batch norm, and a last batch norm without weights after tanh; ours has 32 maps, epsilon 1e-5 throughout, and
ends in tanh. The student's loss is the run's method; the paper's is the KL divergence at temperature 1. `retain` is
ours: it mixes stored images into each batch, which is the paper's idea without the inner step whose gradients it
aligns.

Zero when: never; the balance alone is at least -log10 of the number of classes, and the activation has no bound.
"""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from kdcore.contracts.access import Grant
from kdcore.contracts.net import pooled
from kdcore.contracts.outputs import Outputs
from kdcore.generation.source import Scene
from kdcore.sources._balance import balance
from kdcore.sources._game import Game


class DAFL(Game):
    """A generator that the teacher alone teaches."""

    title: ClassVar[str] = "DAFL's generator (white box)"
    needs: ClassVar[frozenset[Grant]] = frozenset({"features", "gradients"})
    student_steps: int = Field(
        1, ge=1, le=1000, description="Steps of the student from one turn to the next; published: 1."
    )
    one_hot: float = Field(
        1.0, ge=0.0, le=100.0, description="Weight of confident predictions; published: 1 for MNIST, 0.05 for CIFAR-10."
    )
    activation: float = Field(
        0.1, ge=0.0, le=100.0, description="Weight of large features; published: 0.1 for MNIST, 0.01 for CIFAR-10."
    )
    balance: float = Field(5.0, ge=0.0, le=100.0, description="Weight of classes in equal parts; published: 5.")

    def terms(self, scene: Scene, images: Tensor) -> dict[str, Tensor]:
        """Return the three terms."""
        assert scene.teacher_net is not None
        told = scene.teacher_net(scene.inputs(images))
        one_hot, activation, even = parts(told)
        return {
            "one_hot": self.one_hot * one_hot,
            "activation": self.activation * activation,
            "balance": self.balance * even,
        }


def parts(told: Outputs) -> tuple[Tensor, Tensor, Tensor]:
    """Return the three terms of the teacher's answer, before their weights; scalars."""
    logits = told.logits.float()
    one_hot = F.cross_entropy(logits, logits.argmax(1))
    return one_hot, -pooled(told.features[-1].float()).abs().mean(), balance(logits)
