"""What a source that makes its images must be. No torch is imported here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import ceil
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from kdcore.contracts import Access, Grant, Outputs, Source

if TYPE_CHECKING:
    from torch import Tensor

    from kdcore.making import Making
    from kdcore.net import Net


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


def led_for(leading: Sequence[str], knobs: Mapping[str, Any]) -> int:
    """Steps of a source before the student's first: its updates, in each of the rounds in which a pool is filled.

    Args:
        leading: the knobs that say so, see `Maker`; none where the student does not wait.
        knobs: their values, and others.
    """
    updates, *rounds = [int(knobs[name]) for name in leading] or [0]
    return updates * (ceil(rounds[0] / rounds[1]) if rounds else 1)


class Maker(Source):
    """A source that makes its images. No row of theirs has a label, and none comes twice unless they are pooled.

    What it learns and remembers is the module that `build` returns; the rules by which it learns stand in the module's
    `rules` and are kept with it. Like a method it never makes the host wait for the device.
    """

    needs: ClassVar[frozenset[Grant]] = frozenset()  # of the teacher
    inverts: ClassVar[bool] = False  # whether it has `invert`
    queries: ClassVar[bool] = True  # whether it may ask the teacher itself, besides what the student is shown
    probes: ClassVar[str] = ""  # the knob that says how far beside an image it asks; black to white is 2
    leading: ClassVar[
        tuple[str, ...]
    ] = ()  # knobs of its lead: updates, or those of a round, the pool, a round's images
    local: ClassVar[bool] = False  # whether its images are made of the local ones, so that they show those

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
        """The images (B, K, H, W) in [-1, 1] of the student's step `step`, detached.

        It may learn before it shows, and then tells `making` what it minimised.
        """
        raise NotImplementedError

    def invert(self, making: Making, logits: Tensor) -> Tensor:
        """The images (B, K, H, W) in [-1, 1] that stand for logits (B, C); gradients pass, nothing learns."""
        raise NotImplementedError

    def sample(self, making: Making, latents: Tensor) -> Tensor:
        """The images of latents (B, C) as drawn from N(0, I), in eval mode, for those who look.

        A source whose latents are others, or that has none, gives as many images of its own choice, the same each time.
        """
        raise NotImplementedError
