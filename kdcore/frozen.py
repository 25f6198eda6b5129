"""Base classes of what a person asks for: it never changes, and what nobody knows is refused."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, model_validator

from kdcore.errors import BadInput, shortened


class FrozenModel(BaseModel):
    """Fixed fields, and no others."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class WrittenModel(FrozenModel):
    """One with free text, which must be such that it can be written down again."""

    @model_validator(mode="after")
    def _can_be_written(self) -> Self:
        try:
            self.model_dump_json()
        except ValueError as error:  # a lone surrogate, as in a file name that is not UTF-8
            raise BadInput(f"{shortened(self)} holds text that is not UTF-8; rename what it names.") from error
        return self
