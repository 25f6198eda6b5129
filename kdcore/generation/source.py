"""What a source that makes its images must be. No torch is imported here."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from kdcore.contracts.access import Access
from kdcore.contracts.outputs import Outputs
from kdcore.contracts.source import Source
from kdcore.spec.schedule import led_for

if TYPE_CHECKING:
    from torch import Tensor

    from kdcore.contracts.net import Net
    from kdcore.generation.networks import Making


class Scene(NamedTuple):
    """What a source that makes images may use. Images are (B, K, H, W) in [-1, 1]."""

    x: Tensor  # (N, K, H, W) uint8, the local images: the training rows, of which no label is told
    classes: int
    seed: int
    access: Access
    inputs: Callable[[Tensor], Tensor]  # images as the networks read them
    ask: Callable[[Tensor, bool], Outputs]  # the teacher's answer to inputs; whether they are local, for the meter
    student: Net
    teacher_net: Net | None  # frozen, lets gradients through; where "blocks" or "gradients" are needed
    steps: int = 1  # the student's


class Maker(Source):
    """A source that makes its images. No row of theirs has a label, and none comes twice unless they are pooled.

    What it learns and remembers is the module that `build` returns; the rules by which it learns stand in the module's
    `rules` and are kept with it. Like a method it never makes the host wait for the device.
    """

    makes: ClassVar[bool] = True
    local: ClassVar[bool] = False
    queries: ClassVar[bool] = True

    @property
    def lead(self) -> int:
        """Steps of its own before the student's first."""
        return led_for(self.leading, self.model_dump())

    def build(self, scene: Scene) -> Making:
        """Its networks, freshly initialised, and what it remembers.

        Raises:
            BadInput: it cannot make images of that shape.
        """
        raise NotImplementedError

    def learn(self, making: Making, scene: Scene, step: int) -> dict[str, Tensor]:
        """Step `step` of its lead: one update of its networks, and its losses, detached."""
        raise NotImplementedError

    def images(self, making: Making, scene: Scene, batch: int, step: int) -> Tensor:
        """Return the images (B, K, H, W) in [-1, 1] of the student's step `step`, detached.

        It may learn before it shows, and then tells `making` what it minimised.
        """
        raise NotImplementedError

    def invert(self, making: Making, logits: Tensor) -> Tensor:
        """Return the images (B, K, H, W) in [-1, 1] that stand for logits (B, C); gradients pass, nothing learns."""
        raise NotImplementedError

    def sample(self, making: Making, latents: Tensor) -> Tensor:
        """Return the images of latents (B, C) as drawn from N(0, I), in eval mode, for those who look.

        A source whose latents are others, or that has none, gives as many images of its own choice, the same each time.
        """
        raise NotImplementedError
