"""What a source of training batches must be. No torch is imported here: the types only name it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from kdcore.contracts.access import Grant
from kdcore.contracts.knobs import Knobs

if TYPE_CHECKING:
    from torch import Tensor


class Source(Knobs):
    """Where the next batch comes from. Everything it draws is a function of seed and step, so a resumed run repeats."""

    makes: ClassVar[bool] = False  # whether it makes its images, see `kdcore.generation.source`
    local: ClassVar[bool] = True  # whether its images are local ones or made of them, so that they show those
    needs: ClassVar[frozenset[Grant]] = frozenset()  # of the teacher
    inverts: ClassVar[bool] = False  # whether it has `invert`
    queries: ClassVar[bool] = False  # whether it may ask the teacher itself, besides what the student is shown
    probes: ClassVar[str] = ""  # the knob that says how far beside an image it asks; black to white is 2
    # Knobs of its lead: its updates or, where it fills a pool in rounds, those of a round, the pool, a round's images.
    leading: ClassVar[tuple[str, ...]] = ()

    @property
    def static(self) -> bool:
        """Whether a training row looks the same each time, so that the teacher's answer may be kept."""
        raise NotImplementedError

    def indices(self, rows: int, batch: int, seed: int, start: int, device: str) -> Iterator[Tensor]:
        """From step `start` on, forever: the rows (B,) int64 of the next batch, on `device`."""
        raise NotImplementedError

    def drawn(self, rows: int, seed: int) -> Tensor | None:
        """Return the places (P,) int64 among `rows` that `indices` ever shows, ascending; None where it shows them
        all.
        """
        return None

    def transform(self, x: Tensor, seed: int, step: int) -> Tensor:
        """Return the batch as it is shown at `step`: (B, ...) in the data's own dtype, on its device."""
        raise NotImplementedError

    def strengthen(self, x: Tensor, seed: int, step: int) -> Tensor:
        """Return a second, strongly augmented view of what `transform` gave, of the same shape and dtype."""
        raise NotImplementedError
