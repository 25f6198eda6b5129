"""What sources with a generator of their own share: its knobs, its first weights, its latents, its student to try."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.func import functional_call

from kdcore.contracts.outputs import Outputs
from kdcore.device import apart, onto
from kdcore.generation.networks import Generator, Making, adam
from kdcore.generation.source import Maker, Scene
from kdcore.nn.optim import Rule
from kdcore.seeding import mix

OWN = 54  # salt of the latents that those who look are shown


def normal(scene: Scene, shape: tuple[int, ...], place: int, salt: int) -> Tensor:
    """Values of N(0, 1), a function of the run's seed and the place in a stream."""
    chance = torch.Generator().manual_seed(mix(scene.seed, place, salt))
    return onto(torch.randn(shape, generator=chance), scene.x.device)


def whole(scene: Scene, below: int, count: int, place: int, salt: int) -> Tensor:
    """So many whole numbers (count,) from 0 to `below` - 1, a function of the run's seed and the place in a stream."""
    chance = torch.Generator().manual_seed(mix(scene.seed, place, salt))
    return onto(torch.randint(below, (count,), generator=chance), scene.x.device)


def tried(scene: Scene, images: Tensor) -> Outputs:
    """Return the student's answer as it answers in training; gradients reach the images.

    Its batch norms take the statistics of these images and do not remember them: a run's weights and buffers change
    only where the student learns.
    """
    buffers = {name: buffer.clone() for name, buffer in scene.student.named_buffers()}
    outputs: Outputs = functional_call(scene.student, buffers, (scene.inputs(images),))
    return outputs


def begin(module: nn.Module, rule: Rule, fresh: Callable[[], nn.Module], seed: int) -> None:
    """First weights for what learns anew, from a stream of chance of their own, and a rule that remembers nothing."""
    with apart(torch.device("cpu")):
        torch.default_generator.manual_seed(seed)  # the CPU's alone, not the GPU's
        weights = fresh().state_dict()
    module.load_state_dict({name: onto(weight, rule.weights[0].device) for name, weight in weights.items()})
    forget(rule)


def forget(rule: Rule) -> None:
    """Set a rule back to before its first step."""
    for remembered in (*rule.momenta, *rule.squares, *rule.counts):
        remembered.zero_()


class Generated(Maker):
    """A source with a generator of images from latents z ~ N(0, I).

    It has the layers that MEKD's code has, narrower by default, with batch norm's usual epsilon and PyTorch's weights.
    """

    latent: int = Field(32, ge=2, le=1024, description="Dimensions of the generator's latents.")
    width: Literal[8, 16, 32, 64, 128] = Field(32, description="Width of the generator; 128 in published code.")
    lr: float = Field(1e-3, gt=0.0, le=0.1, description="Learning rate of the generator (Adam, beta 1 = 0.5).")

    def build(self, scene: Scene) -> Making:
        """Return the generator and its rule."""
        making = Making()
        making.generator = self.generator(tuple(scene.x.shape[1:]))
        making.to(scene.x.device)
        making.rules = {"generator": adam(making.generator.parameters(), self.lr)}
        return making

    def generator(self, shape: tuple[int, ...]) -> Generator:
        """Build a generator with first weights."""
        return Generator(self.latent, shape, self.width, published=False)

    @torch.no_grad()
    def sample(self, making: Making, latents: Tensor) -> Tensor:
        """G(z); where latents have another dimension than z, as many fixed z of its own."""
        if latents.shape[1] != self.latent:
            chance = torch.Generator().manual_seed(mix(0, 0, OWN))
            latents = onto(torch.randn(len(latents), self.latent, generator=chance), latents.device)
        images: Tensor = making.generator.eval()(latents)
        return images
