"""What a family of networks must be."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from kdcore.contracts.knobs import Knobs

if TYPE_CHECKING:
    from kdcore.contracts.net import Net


class Model(Knobs):
    """A family of networks; a knob of type Literal picks its member, so that every choice can be costed."""

    family: ClassVar[str]

    def build(self, shape: tuple[int, ...], classes: int) -> Net:
        """Return a freshly initialised network for inputs of `shape` (K, H, W) or (F,).

        Raises:
            BadInput: the family cannot read inputs of that shape.
        """
        raise NotImplementedError
