"""Noise in place of images: the baseline that every source of synthetic images has to beat.

Each pixel is drawn independently, new at each step: from $U[-1, 1]$, or from a Gaussian with standard deviation
`spread`, clipped. Nothing is learned, and only the shape of the data is known.

With batch $B$ and $n$ student steps, learning needs $n B$ queries.

Source: the row of random noise in the tables of Chen et al., Data-Free Learning of Student Networks, ICCV 2019, arXiv
1904.01186, and of Fang et al., Data-Free Adversarial Distillation, arXiv 1912.11006.

Departs from it: the papers do not say which noise they used.

Zero when: there is no loss.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from kdcore.device import onto
from kdcore.generation.networks import Making, only_images
from kdcore.generation.source import Maker, Scene
from kdcore.seeding import mix

SHOWN = 40  # salt


class Noise(Maker):
    """Random images."""

    title: ClassVar[str] = "Noise"
    queries: ClassVar[bool] = False
    kind: Literal["uniform", "gaussian"] = Field("uniform", description="What each pixel is drawn from.")
    spread: float = Field(0.5, gt=0.0, le=10.0, description="Standard deviation of Gaussian pixels, white being 1.")

    def build(self, scene: Scene) -> Making:
        """Return the shape of an image."""
        making = Making()
        making.register_buffer("blank", torch.zeros(only_images(tuple(scene.x.shape[1:])), dtype=torch.uint8))
        return making

    def images(self, making: Making, scene: Scene, batch: int, step: int) -> Tensor:
        """Return new noise."""
        return self._drawn(making, batch, mix(scene.seed, step, SHOWN))

    def sample(self, making: Making, latents: Tensor) -> Tensor:
        """As many images, the same each time."""
        return self._drawn(making, len(latents), mix(0, 0, SHOWN))

    def _drawn(self, making: Making, count: int, seed: int) -> Tensor:
        blank, chance = making.get_buffer("blank"), torch.Generator().manual_seed(seed)
        if self.kind == "uniform":
            images = 2 * torch.rand(count, *blank.shape, generator=chance) - 1
        else:
            images = (self.spread * torch.randn(count, *blank.shape, generator=chance)).clamp(-1, 1)
        return onto(images, blank.device)
