"""A black-box teacher: what its answers are worth, what they cost, and what may be sent. No torch is imported."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kdcore.frozen import FrozenModel

Measure = Literal["nothing", "synthetic", "real"]


class Wall(FrozenModel):
    """A teacher that is asked over a wire: what its answers are worth, and what they cost."""

    top: int = Field(0, ge=0, le=1000, description="How many of the largest probabilities it tells; 0 tells all.")
    digits: int = Field(0, ge=0, le=8, description="Decimals its probabilities are rounded to; 0 leaves them be.")
    noise: float = Field(0.0, ge=0.0, le=1.0, description="Standard deviation of noise on its probabilities.")
    upload: Literal["float32", "uint8"] = Field("float32", description="Data type in which pixel values are sent.")
    price: float = Field(1.0, ge=0.0, le=1e6, description="Price per 1,000 images, in $.")
    budget: int = Field(0, ge=0, le=10**9, description="Most images that may be sent; 0 sets no limit.")
    looks: int = Field(2000, ge=0, le=10**9, description="Most of them that may be sent for measuring alone.")
    measure: Measure = Field(
        "nothing",
        description="What may be sent to a remote teacher for measuring alone: nothing, synthetic images, or also real "
        "ones (local and held-out). All of it is counted, paid for, and part of the budget.",
    )

    def allows(self, level: Measure) -> bool:
        """Whether images of that level, synthetic or real ones, may be sent to a remote teacher for measuring alone."""
        return self.measure in ("real", level)

    def room(self, wanted: int | None) -> int:
        """Images that may be sent to a remote teacher for measuring alone, beside what else is wanted of the budget.

        Args:
            wanted: None where nobody can say, so that nothing is left.
        """
        if not self.budget:
            return self.looks
        return 0 if wanted is None else min(self.looks, max(0, self.budget - wanted))
