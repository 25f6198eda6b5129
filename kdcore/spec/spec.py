"""What a person asks for: one frozen, complete description of a run. The same hash is the same run.

A teacher is a spec too. Names and knobs are checked against the catalogue, which knows them without torch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

from pydantic import ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator

from kdcore.contracts.access import GRANTS, Access
from kdcore.contracts.method import ASKS, OF_ROWS
from kdcore.errors import BadInput, sentence
from kdcore.frozen import FrozenModel, WrittenModel
from kdcore.spec import row_ranges
from kdcore.spec.black_box import Measure as Measure
from kdcore.spec.black_box import Wall as Wall
from kdcore.spec.catalogue import catalogue, check_knobs, entry
from kdcore.spec.schedule import Json, Schedule, led_for
from kdcore.untrusted import read_json

VERSION = 1
WITHOUT = {"method": "ce", "source": "data"}  # what needs no teacher
LATE = ("mentors", "service", "wall", "start", "changes")  # fields that came later, so that older specs keep their hash
SEVERAL = ("peers", "copies")  # lineages that come with mentors


class Choice(WrittenModel):
    """A registered thing by name, with its knobs; knobs left out take their defaults."""

    name: str
    knobs: dict[str, Json] = Field({})


class Watch(FrozenModel):
    """How much is recorded. It changes no weight, so it is not part of the hash."""

    points: int = Field(200, ge=1, le=10_000, description="Loss points over the run.")
    evaluations: int = Field(20, ge=1, le=1000, description="Validation passes over the run.")
    frames: int = Field(40, ge=1, le=1000, description="Recorded frames over the run.")
    checkpoints: int = Field(10, ge=1, le=1000, description="Checkpoints over the run.")
    adapt: float = Field(
        0.5, ge=0.0, lt=1.0, description="Behind a wall: how much neighbours count in test-time adaptation; 0 is none."
    )


class Change(WrittenModel):
    """One setting that takes another value during the run, before the update that follows `step` of them."""

    step: int = Field(ge=0, le=2 * 10**7)  # those of the source's lead among them
    path: str  # such as schedule.lr or method.temperature
    value: bool | int | float | str


KINDS = {"student": "model", "service": "teacher"}  # the catalogue's section of a field, where their names differ


class Spec(FrozenModel):
    """One run, whole."""

    model_config = ConfigDict(validate_default=True, revalidate_instances="always")  # a copy may be incomplete

    version: Literal[1] = 1
    data: Choice = Choice(name="digits")
    source: Choice = Choice(name="data")
    student: Choice
    method: Choice = Choice(name="kd")
    teacher: Spec | None = None
    mentors: tuple[Spec, ...] = ()
    service: Choice | None = None
    start: Spec | None = Field(None, description="The student begins with this run's final weights, not with new ones.")
    access: Access = Field("white_box", description="What the teacher grants.")
    wall: Wall | None = None
    schedule: Schedule = Schedule()
    seed: int = Field(0, ge=0, le=2**31 - 1, description="Seed of weights, order and augmentation.")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto takes the GPU where there is one.")
    watch: Watch = Watch()
    changes: tuple[Change, ...] = Field((), description="Settings that change during the run, planned or by hand.")

    @field_validator("data", "source", "student", "method", "service")
    @classmethod
    def _with_all_knobs(cls, choice: Choice | None, info: ValidationInfo) -> Choice | None:
        """Check knobs and fill in their defaults, so that the canonical JSON says everything."""
        field = str(info.field_name)
        return choice and _spelled(KINDS.get(field, field), choice)

    @field_validator("wall")
    @classmethod
    def _wall_of_a_service(cls, wall: Wall | None, info: ValidationInfo) -> Wall | None:
        """Give a service a wall: it is always a black box."""
        return Wall() if wall is None and info.data.get("service") else wall

    @field_validator("changes")
    @classmethod
    def _in_order(cls, changes: tuple[Change, ...], info: ValidationInfo) -> tuple[Change, ...]:
        """Sort the changes and drop those without effect; left alone where another field is invalid already."""
        if not changes or len(info.data) < len(cls.model_fields) - 1:
            return changes
        return tuple(one for one, _ in course(cls.model_construct(**info.data, changes=changes)))

    @model_validator(mode="after")
    def _consistent(self) -> Spec:
        """Check what fields demand of each other."""
        method, source = entry("method", self.method.name), entry("source", self.source.name)
        self._check_grant("method", self.method.name, method)
        self._check_grant("source", self.source.name, source)
        self._check_source(method, source)
        self._check_wall()
        if self.start and self.start.student != self.student:
            raise BadInput(
                f"The student starts from a run of {_told_of(self.start.student)}, but is {_told_of(self.student)}; "
                "make the two the same, or take the start out."
            )
        if self.mentors and method["lineage"] not in SEVERAL:
            raise BadInput(
                f"Method {self.method.name!r} learns from one teacher, but the spec names mentors; take them out, or "
                f"choose {' or '.join(methods_that(lambda one: one['lineage'] in SEVERAL))}."
            )
        return self

    def _check_grant(self, kind: str, name: str, one: Mapping[str, Any]) -> None:
        taught = self.teacher or self.service
        missing = sorted(set(one["needs"]) - (GRANTS[self.access] if taught else set()))
        subject = f"{kind.capitalize()} {name!r}"
        if missing and not taught:
            raise BadInput(f"{subject} needs a teacher; add one, or take a {kind} without, such as {WITHOUT[kind]!r}.")
        if missing:
            raise BadInput(
                f"{subject} needs the teacher's {', '.join(missing)}, but access {self.access!r} grants only "
                f"{', '.join(sorted(GRANTS[self.access]))}; widen the access or choose another {kind}, such as "
                f"{', '.join(_alternatives(kind, one, self.access))}."
            )

    def _check_source(self, method: Mapping[str, Any], source: Mapping[str, Any]) -> None:
        if "inverse" in method["asks"] and not source["inverts"]:
            able = sorted(name for name, one in catalogue()["source"].items() if one["inverts"])
            raise BadInput(
                f"Method {self.method.name!r} asks for {ASKS['inverse']}, but source {self.source.name!r} has none; "
                f"choose {' or '.join(map(repr, able))}."
            )
        if self.source.knobs.get("rows"):
            row_ranges.read(str(self.source.knobs["rows"]))
            if "validation" in method["asks"]:
                raise BadInput(
                    f"Method {self.method.name!r} holds some training rows apart, but source {self.source.name!r} "
                    "names rows by their number; choose source 'data', or another method such as 'kd'."
                )
        if source["makes"] and (strange := sorted(OF_ROWS & set(method["asks"]))):
            raise BadInput(
                f"Method {self.method.name!r} asks for {ASKS[strange[0]]}, but source {self.source.name!r} makes its "
                "images, and they have no label; choose source 'data' or another method, such as 'kd'."
            )
        if source["makes"] and not method["needs"]:
            raise BadInput(
                f"Method {self.method.name!r} learns from true labels, but source {self.source.name!r} makes its "
                "images, and they have none; choose source 'data' or a method that asks a teacher, such as 'kd'."
            )

    def _check_wall(self) -> None:
        if self.service and self.teacher:
            raise BadInput("The teacher is a run or a service, but the spec names both; take one of them out.")
        if self.access == "white_box" and self.wall:
            raise BadInput(
                "A teacher behind a wall grants logits, probabilities or labels, but access is 'white_box'; set the "
                "access, or take the wall out."
            )
        if self.wall and self.wall.measure != "nothing" and not self.remote:
            said = "Only a remote teacher (service 'http') needs permission to be measured, but this one runs here"
            raise BadInput(f"{said}; leave wall.measure at 'nothing'.")
        if self.mentors and self.wall:
            raise BadInput(
                "Only one teacher can stand behind a wall, but the spec names mentors; take one of them out."
            )

    @property
    def remote(self) -> bool:
        """Whether images leave this machine to be answered by the teacher."""
        return self.service is not None and bool(entry("teacher", self.service.name)["remote"])

    @property
    def steps(self) -> int:
        """All steps, those of the source's lead among them."""
        return led_for(entry("source", self.source.name)["leading"], self.source.knobs) + self.schedule.steps

    @property
    def hash(self) -> str:
        """16 hex digits of the canonical JSON without what only watches."""
        return hashlib.sha256(canonical(self).encode()).hexdigest()[:16]


def _spelled(kind: str, choice: Choice) -> Choice:
    return Choice(name=choice.name, knobs=check_knobs(kind, choice.name, choice.knobs))


def methods_that(fit: Callable[[Mapping[str, Any]], bool]) -> list[str]:
    """Names of the methods whose entries of the catalogue fit."""
    return [name for name, one in catalogue()["method"].items() if fit(one)]


def _alternatives(kind: str, one: Mapping[str, Any], access: Access) -> list[str]:
    """Methods or sources that make do with what `access` grants, those of the same family first."""
    known = catalogue()[kind]
    fitting = [name for name, other in known.items() if other["needs"] and set(other["needs"]) <= GRANTS[access]]
    near = sorted(fitting, key=lambda name: known[name]["family"] != one["family"])
    return (near or [WITHOUT[kind]])[:5]


def _told_of(choice: Choice) -> str:
    knobs = ", ".join(f"{name} {value}" for name, value in choice.knobs.items())
    return f"{choice.name!r}" + (f" ({knobs})" if knobs else "")


def canonical(spec: Spec) -> str:
    """JSON with sorted keys and every default spelled out, without `watch` and without what is LATE and absent."""

    def strip(value: Any) -> Any:
        if isinstance(value, dict):
            late = LATE if "student" in value else ()  # a knob may have such a name too
            kept = {k: strip(v) for k, v in value.items() if k != "watch" and (k not in late or v)}
            if kept.get("measure") == "nothing" and "looks" in kept:  # a wall that is as walls were before this field
                del kept["measure"]
            return kept
        return [strip(one) for one in value] if isinstance(value, list) else value

    return json.dumps(strip(spec.model_dump(mode="json")), sort_keys=True, separators=(",", ":"))


def parse(value: Mapping[str, Any] | str | bytes) -> Spec:
    """Return a spec from JSON text or a mapping.

    Raises:
        BadInput: one sentence on the first thing that is wrong.
    """
    try:
        raw = read_json(value) if isinstance(value, (str, bytes)) else dict(value)
    except ValueError as error:
        raise BadInput(f"The spec is not JSON: {error}.") from error
    if not isinstance(raw, dict):
        raise BadInput(f"A spec is a JSON object, but got {type(raw).__name__}.")
    version = raw.get("version", VERSION)
    if isinstance(version, int) and version > VERSION:
        raise BadInput(
            f"This spec has version {version}, but this KD Lab reads up to version {VERSION}; update KD Lab to run it."
        )
    try:
        return Spec.model_validate(raw)
    except ValidationError as error:
        raise sentence(error, "The spec") from error


SETTABLE = ("schedule.lr", "schedule.momentum", "schedule.weight_decay")


def change(spec: Spec, path: str, value: Json) -> Spec:
    """Return the spec with one setting changed that may change while a run is under way: see SETTABLE, or a method's
    knob.

    Raises:
        BadInput: the path cannot be changed, or the value is out of bounds.
    """
    section, _, key = path.partition(".")
    fixed = entry("method", spec.method.name)["fixed"]
    allowed = [*SETTABLE, *(f"method.{knob}" for knob in spec.method.knobs if knob not in fixed)]
    if path not in allowed:
        raise BadInput(f"{path!r} cannot be changed during a run; what can: {', '.join(allowed)}.")
    raw = spec.model_dump(mode="json")
    (raw[section]["knobs"] if section == "method" else raw[section])[key] = value
    return parse(raw)


def course(spec: Spec) -> Iterator[tuple[Change, Json]]:
    """Yield the changes of a spec in their order, each with the value before it.

    Of several changes of one setting at one step the last counts; what changes nothing is left out.

    Raises:
        BadInput: a setting cannot change during the run, or its value is out of bounds.
    """
    last: dict[tuple[int, str], Change] = {}
    for one in spec.changes:
        last.pop((one.step, one.path), None)
        last[one.step, one.path] = one
    now = spec.model_copy(update={"changes": ()})
    for one in sorted(last.values(), key=lambda one: one.step):
        before, now = now, change(now, one.path, one.value)
        old, new = setting(before, one.path), setting(now, one.path)
        if old != new:
            yield Change.model_validate({"step": one.step, "path": one.path, "value": new}), old


def setting(spec: Spec, path: str) -> Json:
    """Return the value of a setting that `change` can change."""
    section, _, key = path.partition(".")
    value: Json = spec.method.knobs[key] if section == "method" else getattr(spec.schedule, key)
    return value
