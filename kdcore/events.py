"""What a run says while it goes on: `Started (Step | Evaluated | Frame | Checkpoint | Changed | Asked)* Finished`.

Records hold no clock time, so two runs of one spec tell the same story; the store adds when each was heard.
A failure is not an event of the run: `train` raises, and the worker says so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic_core import from_json

from kdcore.errors import shortened

Count = Annotated[int, Field(ge=0, le=2**53)]  # what a database and a double hold exactly


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")
    step: Count = Field(description="Optimiser steps done so far.")


class Cost(BaseModel):
    """Size of a network: parameters, multiply-adds for one input, bytes on disk in float32."""

    model_config = ConfigDict(frozen=True)
    parameters: Count
    multiply_adds: Count
    size_bytes: Count


class Started(_Record):
    """The first event, and again after a resume (then `step` > 0)."""

    kind: Literal["started"] = "started"
    steps: Count  # those of the source's lead among them
    lead: Count = 0  # steps of the source before the student's first
    device: str
    torch: str
    classes: tuple[str, ...]
    rows: dict[str, Count]  # training, validation and test rows
    student: Cost
    teacher: Cost | None
    teacher_run: str | None = None
    mentor_runs: tuple[str, ...] = ()
    start_run: str | None = None  # whose final weights the student began with
    label_terms: tuple[str, ...] = ("labels",)


class Meter(BaseModel):
    """What asking the teacher has taken so far. Images asked again are answered from memory and cost nothing.

    Requests, repeats and bytes are those of learning and measuring together where the teacher is remote; a teacher on
    this machine is measured for nothing, so they are those of learning alone.
    """

    model_config = ConfigDict(frozen=True)
    images: Count = 0  # different images that the learning asked about
    local: Count = 0  # of those, the edge's own, which have left it
    requests: Count = 0
    retried: Count = 0  # images that were sent without a reply: each try that failed counts
    cached: Count = 0  # answers from memory
    bytes_up: Count = 0
    bytes_down: Count = 0
    looked: Count = 0  # further images that only measuring asked about
    # Of those, real ones (local or held out), which runs of before call looked_local; None where it was not counted.
    looked_real: Count | None = Field(None, validation_alias=AliasChoices("looked_real", "looked_local"))


class Loss(BaseModel):
    """One summand, averaged over the steps since the last `Step`."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="constants")
    weight: float
    value: float


class Step(_Record):
    """Means over the steps since the one before."""

    kind: Literal["step"] = "step"
    learning_rate: float
    loss: float
    terms: dict[str, Loss]
    train_accuracy: float | None  # fraction of labelled samples in the batches; None where none is labelled
    notes: dict[str, float] = {}  # what the method tells of itself
    source: dict[str, float] = {}  # what its updates beside the student's minimised; empty where there was none
    lead: bool = False  # whether the source learned alone, and the student waited
    meter: Meter | None = None  # where the teacher stands behind a wall


class Score(BaseModel):
    """How good one network is on one split. Fractions; NLL in nats; ECE over 15 equal-width bins."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="constants")
    accuracy: float
    nll: float
    ece: float


class Evaluated(_Record):
    """Both networks on a split. The test split is evaluated once, after the last step."""

    kind: Literal["evaluated"] = "evaluated"
    split: Literal["val", "test"]
    student: Score
    teacher: Score | None = None
    agreement: float | None = None  # fraction of rows where both give the same class
    kl: float | None = None  # KL(teacher || student) in nats at temperature 1
    kl_target: float | None = None  # its part on whether the class is the true one
    compared: Count | None = None  # rows that the teacher was asked about, where they are fewer than the split's


class Frame(_Record):
    """Arrays for the panels were written to `file`, relative to the run's folder."""

    kind: Literal["frame"] = "frame"
    file: str
    notes: dict[str, float] = {}  # measured numbers that are worth following


class Checkpoint(_Record):
    """Everything a resume needs was written to `file`, relative to the run's folder."""

    kind: Literal["checkpoint"] = "checkpoint"
    file: str


class Changed(_Record):
    """A person changed a setting while the run was under way; from here on the run is not its spec's."""

    kind: Literal["changed"] = "changed"
    path: str  # such as schedule.lr or method.temperature
    old: float | int | str | bool
    new: float | int | str | bool


class Asked(_Record):
    """What asking the teacher has taken, told where a run stands (paused, stopped, broken off), and beside a loss point
    wherever it is more than that one counts.

    Unlike a step's it counts all that has left by then: also what only an interrupted attempt used, or sent in vain.
    """

    kind: Literal["asked"] = "asked"
    meter: Meter


Share = Annotated[float, Field(ge=0, le=1)]


def _known(value: Any) -> Any:
    """None for what a network that ran away has: its loss is no number."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


# Of float32 logits; rounding takes a mean that is about zero a little below it.
Nats = Annotated[Annotated[float, Field(ge=-0.01, le=1e39)] | None, BeforeValidator(_known)]
Error = Annotated[Annotated[float, Field(ge=0, le=1.001)] | None, BeforeValidator(_known)]  # a sum, rounded


class Result(BaseModel):
    """Measured on the test split after the last step; fractions, and NLL and KL in nats. What is None is not known."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    student_accuracy: Share | None = None
    student_nll: Nats = None
    student_ece: Error = None
    teacher_accuracy: Share | None = None
    teacher_nll: Nats = None
    teacher_ece: Error = None
    agreement: Share | None = None
    kl: Nats = None
    adapted_accuracy: Share | None = None
    test_rows: Count | None = None
    compared_rows: Count | None = None  # where the teacher was asked about fewer
    chance_accuracy: Share | None = None  # this and the next two where hardly anything was learned
    chance_nll: Annotated[float, Field(ge=0, le=100)] | None = None
    learning_rate: Annotated[float, Field(gt=0, le=10)] | None = None
    spent: Annotated[float, Field(ge=1, le=1)] | None = None  # 1 where the budget of questions ended the run
    unsteady: Annotated[int, Field(ge=1, le=10_000)] | None = None  # operations that may give other bits next time

    @model_validator(mode="before")
    @classmethod
    def _few(cls, told: Any) -> Any:
        """Before each unknown name is an error of its own."""
        if isinstance(told, Mapping) and len(told) > len(cls.model_fields):
            raise ValueError(f"it has {len(told):,} numbers, and a run has {len(cls.model_fields)} at most")
        return told

    @model_validator(mode="after")
    def _together(self) -> Result:
        has = self.numbers()
        for name, others in NEEDS.items():
            if name in has and (absent := [one for one in others if one not in has]):
                raise ValueError(f"{name} stands there without {absent[0]}")
        if (self.compared_rows or 0) > (self.test_rows or 0):
            raise ValueError(f"{self.compared_rows:,} rows of {self.test_rows:,} were compared")
        return self

    def numbers(self) -> dict[str, float]:
        """Return what is known, by name."""
        return {name: float(value) for name, value in self if value is not None}


NEEDS = {  # what stands there only beside others
    **dict.fromkeys(("teacher_accuracy", "agreement", "adapted_accuracy"), ("student_accuracy",)),
    "chance_accuracy": ("chance_nll", "learning_rate"),
    "chance_nll": ("student_accuracy", "chance_accuracy", "learning_rate"),
    "learning_rate": ("chance_nll",),
    "compared_rows": ("test_rows",),
}


def checked(told: Any) -> dict[str, float]:
    """Return the numbers of a result; what is no number of a network that ran away is left out.

    Raises:
        ValueError: some are none that a run has, or stand there without those that they go with.
    """
    try:
        return Result.model_validate(told).numbers()
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = "".join(f" {shortened(one, 40)}" for one in first["loc"][:1])
        raise ValueError(f"result{name}: {first['msg'].removeprefix('Value error, ')}") from error


def kept(told: Any) -> dict[str, float]:
    """Return the numbers of a result that was taken before all of this was looked at; {} where they cannot be."""
    try:
        return checked(told)
    except ValueError:
        return {}


class Finished(_Record):
    """The last event; its meter counts all that has left, as that of `Asked` does."""

    kind: Literal["finished"] = "finished"
    result: Annotated[dict[str, float], BeforeValidator(checked)]  # as `Result` has it
    meter: Meter | None = None
    spent: bool = False  # whether the budget of questions ended it before its last step
    unsteady: tuple[str, ...] = ()  # operations of which this GPU has no form that gives the same bits twice


Event = Annotated[
    Started | Step | Evaluated | Frame | Checkpoint | Changed | Asked | Finished, Field(discriminator="kind")
]
EVENT: TypeAdapter[Event] = TypeAdapter(Event)  # EVENT.validate_json(line) -> Event


def stored(body: str) -> Event:
    """Return an event as it was stored; the result of one that was stored before `Result` was looked at may be {}.

    Raises:
        ValidationError: it is no event.
    """
    try:
        return EVENT.validate_json(body)
    except ValidationError:
        raw = from_json(body)
        if not isinstance(raw, dict) or raw.get("kind") != "finished":
            raise
        return EVENT.validate_python(raw | {"result": kept(raw.get("result"))})
