"""Rounds of a generator that begins anew: it learns for some steps, leaves its images in a pool, and is forgotten."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor

from kdcore.generation.networks import Making, total
from kdcore.generation.source import Scene
from kdcore.seeding import mix
from kdcore.sources._generated import Generated, begin, normal
from kdcore.sources._pool import even_labels, fill, lay_out, shown

BEGUN, LATENT, SHOWN = 46, 47, 48  # salts


class Rounds(Generated):
    """Every `every` steps of the student a new generator makes images for labels in equal parts, through the student.

    The pool keeps the latest; until it is full every image ever made is in it.
    """

    lr: float = Field(3e-3, gt=0.0, le=0.1, description="Learning rate of the generator (Adam); IDEAL's: 1e-3.")
    updates: int = Field(100, ge=1, le=10_000, description="Updates of each generator; IDEAL's: 30.")
    made: int = Field(250, ge=2, le=4096, description="Images that each generator leaves.")
    every: int = Field(100, ge=1, le=100_000, description="Steps of the student from one generator to the next.")
    pool: int = Field(5000, ge=2, le=1_000_000, description="Images that are kept, the latest.")

    def build(self, scene: Scene) -> Making:
        """Return the generator and the pool."""
        making = super().build(scene)
        lay_out(making, scene, self.pool)
        return making

    def terms(self, scene: Scene, images: Tensor, labels: Tensor, place: int) -> dict[str, Tensor]:
        """Return what update `place` of a generator, counted over the run, minimises the sum of; weighted scalars."""
        raise NotImplementedError

    def images(self, making: Making, scene: Scene, batch: int, step: int) -> Tensor:
        """Images of the pool, which grows first where a round is due."""
        turn = step // self.every
        if step % self.every == 0:
            self._add(making, scene, turn)
        return shown(making, scene, batch, (turn + 1) * self.made, step, SHOWN)

    def _add(self, making: Making, scene: Scene, turn: int) -> None:
        """Round `turn`: a new generator, its updates, its images."""
        making.train()
        shape = tuple(scene.x.shape[1:])
        begin(making.generator, making.rules["generator"], lambda: self.generator(shape), mix(scene.seed, turn, BEGUN))
        latents = normal(scene, (self.made, self.latent), turn, LATENT)
        labels = even_labels(scene, self.made, turn)
        for update in range(self.updates):
            place = turn * self.updates + update
            terms = self.terms(scene, making.generator(latents), labels, place)
            making.learn("generator", total(terms))
            making.tell("generator", terms)
        fill(making, making.generator(latents), turn)
