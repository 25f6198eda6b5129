"""Settings of a registered thing: form, command line and docs follow from the fields of one frozen model.

Each has a default, bounds and one line of description.
"""

from __future__ import annotations

from typing import ClassVar

from kdcore.frozen import FrozenModel


class Knobs(FrozenModel):
    """Settings of one registered thing; unknown keys are refused and nothing changes afterwards."""

    title: ClassVar[str]
