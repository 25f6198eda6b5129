"""What a run says while it goes on: `Started (Step | Evaluated | Frame | Checkpoint | Changed)* Finished`.

Records hold no clock time, so two runs of one spec tell the same story; the store adds when each was heard.
A failure is not an event of the run: `train` raises, and the worker says so.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")
    step: int = Field(ge=0, description="Optimiser steps done so far.")


class Cost(BaseModel):
    """Size of a network: parameters, multiply-adds for one input, bytes on disk in float32."""

    model_config = ConfigDict(frozen=True)
    parameters: int
    multiply_adds: int
    size_bytes: int


class Started(_Record):
    """The first event, and again after a resume (then `step` > 0)."""

    kind: Literal["started"] = "started"
    steps: int
    device: str
    torch: str
    classes: tuple[str, ...]
    rows: dict[str, int]  # training, validation and test rows
    student: Cost
    teacher: Cost | None
    teacher_run: str | None = None
    mentor_runs: tuple[str, ...] = ()
    label_terms: tuple[str, ...] = ("labels",)


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
    train_accuracy: float  # fraction of labelled samples in the batches
    notes: dict[str, float] = {}  # what the method tells of itself


class Score(BaseModel):
    """How good one network is on one split. Fractions; NLL in nats; ECE over 15 equal-width bins."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="constants")
    accuracy: float
    nll: float
    ece: float


class Evaluated(_Record):
    """Both networks on a whole split. The test split is evaluated once, after the last step."""

    kind: Literal["evaluated"] = "evaluated"
    split: Literal["val", "test"]
    student: Score
    teacher: Score | None = None
    agreement: float | None = None  # fraction of rows where both give the same class
    kl: float | None = None  # KL(teacher || student) in nats at temperature 1
    kl_target: float | None = None  # its part on whether the class is the true one


class Frame(_Record):
    """Arrays for the panels were written to `file`, relative to the run's folder."""

    kind: Literal["frame"] = "frame"
    file: str


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


class Finished(_Record):
    """The last event."""

    kind: Literal["finished"] = "finished"
    result: dict[str, float]


Event = Annotated[Started | Step | Evaluated | Frame | Checkpoint | Changed | Finished, Field(discriminator="kind")]
EVENT: TypeAdapter[Event] = TypeAdapter(Event)  # EVENT.validate_json(line) -> Event
