"""A game that a generator plays against the student, or beside it, while the student learns from its images.

Every `student_steps` steps of the student the generator has its turn. What it minimises is each source's own.
"""

from __future__ import annotations

from math import cos, pi
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from kdcore.device import onto
from kdcore.generation.networks import Making, from_bytes, to_bytes, total
from kdcore.generation.source import Scene
from kdcore.seeding import mix
from kdcore.sources._generated import Generated, normal, whole

HELD = 1024  # images that are remembered
PLAYED, SHOWN, AGAIN, KEPT = 41, 42, 43, 44  # salts


class Game(Generated):
    """A generator that learns in turns with the student.

    With `retain` a share of each batch is drawn from a memory in which every image shown before is equally likely to
    be. Behind a wall their answers are remembered too and cost nothing.
    """

    generator_steps: int = Field(1, ge=1, le=100, description="Updates of the generator in its turn.")
    student_steps: int = Field(
        2, ge=1, le=1000, description="Steps of the student from one turn to the next; 5 in DFAD and DFME, 10 in ZSKT."
    )
    decay: Literal["constant", "cosine"] = Field("cosine", description="Course of the generator's learning rate.")
    retain: float = Field(0.0, ge=0.0, le=0.9, description="Share of a batch that is remembered images; 0: all new.")

    def build(self, scene: Scene) -> Making:
        """Return the generator, and the memory."""
        making = super().build(scene)
        room = HELD if self.retain else 0
        memory = torch.zeros(room, *scene.x.shape[1:], dtype=torch.uint8, device=scene.x.device)
        making.register_buffer("memory", memory)
        return making

    def terms(self, scene: Scene, images: Tensor) -> dict[str, Tensor]:
        """Return what the generator minimises the sum of, weighted scalars; gradients reach the images (B, K, H, W)."""
        raise NotImplementedError

    def play(self, making: Making, scene: Scene, latents: Tensor, place: int, share: float) -> None:
        """Update `place` of the generator, counted over the run, at a share of its rate."""
        terms = self.terms(scene, making.generator(latents))
        making.learn("generator", total(terms), share)
        making.tell("generator", terms)

    def images(self, making: Making, scene: Scene, batch: int, step: int) -> Tensor:
        """G(z) for new z, and remembered images, after the generator's turn where it has one."""
        making.train()
        if step % self.student_steps == 0:
            for turn in range(self.generator_steps):
                place = step * self.generator_steps + turn
                latents = normal(scene, (batch, self.latent), place, PLAYED)
                self.play(making, scene, latents, place, self._share(step / scene.steps))
        with torch.no_grad():
            return self._shown(making, scene, batch, step)

    def _share(self, done: float) -> float:
        """Return what is left of the rate when this share of the student's steps is done."""
        return 0.5 * (1 + cos(pi * done)) if self.decay == "cosine" else 1.0

    def _shown(self, making: Making, scene: Scene, batch: int, step: int) -> Tensor:
        again = round(self.retain * batch)
        fresh = batch - again if step else batch
        seen = batch + (step - 1) * (batch - again) if step else 0
        images: Tensor = making.generator(normal(scene, (fresh, self.latent), step, SHOWN)).float()
        if not self.retain:
            return images
        memory, made = making.get_buffer("memory"), to_bytes(images)
        if step:
            rows = whole(scene, min(seen, HELD), again, step, AGAIN)
            shown = torch.cat([made, memory[rows]])
        else:
            shown = made
        places = reservoir(seen, fresh, HELD, torch.Generator().manual_seed(mix(scene.seed, step, KEPT)))
        there, here = (
            onto(torch.tensor(list(part), dtype=torch.int64), memory.device) for part in (places, places.values())
        )
        memory[there] = made[here]
        return from_bytes(shown)


def reservoir(seen: int, count: int, room: int, chance: torch.Generator) -> dict[int, int]:
    """Which places of a memory take which of `count` new rows, so that all rows ever seen are equally likely in it.

    Source: Vitter, Random Sampling with a Reservoir, ACM TOMS 1985, algorithm R.

    Args:
        seen: rows before these.
        room: places of the memory.
        chance: on the CPU.
    """
    places: dict[int, int] = {}
    for row, share in enumerate(torch.rand(count, generator=chance, dtype=torch.float64).tolist()):
        before = seen + row
        place = before if before < room else int(share * (before + 1))
        if place < room:
            places[place] = row
    return places
