"""Small situations in which a method can be looked at without a run. No torch here: forms and links read these."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from kdcore.frozen import FrozenModel

REACH = 8.0  # the student's logit gap goes from minus this to this
Kind = Literal["two", "five", "features"]
Logit = Annotated[float, Field(ge=-12.0, le=12.0)]
Logits = tuple[Logit, Logit, Logit, Logit, Logit]
KINDS: dict[Kind, str] = {"two": "Two classes", "five": "Five classes", "features": "Features"}
CLASSES = ("A", "B", "C", "D", "E")


class Example(FrozenModel):
    """One situation, as far as a person can choose it."""

    kind: Kind = Field("two", description="How many classes, or two networks whose features are compared.")
    label: int = Field(0, ge=0, le=4, description="The true class; A is 0.")
    progress: float = Field(0.5, ge=0.0, le=1.0, description="Share of the run that is done, for weights that change.")
    gap: float = Field(3.0, ge=-REACH, le=REACH, description="The teacher's logit of A minus its logit of B.")
    teacher: Logits = Field((6.0, 3.0, 1.0, 0.0, -1.0), description="The teacher's logits.")
    student: Logits = Field((2.0, 2.5, 0.5, 0.0, 0.0), description="The student's logits.")


class ExamplePreset(NamedTuple):
    """Logits that show one state of mind; A is the true class."""

    title: str
    logits: tuple[float, float, float, float, float]


PRESETS = (
    ExamplePreset("Sure and right", (6.0, 3.0, 1.0, 0.0, -1.0)),
    ExamplePreset("Unsure", (2.0, 2.5, 0.5, 0.0, 0.0)),
    ExamplePreset("Wrong", (0.0, 5.0, 1.0, 0.0, -1.0)),
    ExamplePreset("Flat", (0.0, 0.0, 0.0, 0.0, 0.0)),
)
