"""What a person asks for: one frozen, complete description of a run. The same hash is the same run.

A teacher is a spec too. Names and knobs are checked against the catalogue, which knows them without torch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from kdcore import ranges
from kdcore.catalogue import catalogue, check_knobs, entry, reads
from kdcore.contracts import ASKS, GRANTS, JOINS, OF_ROWS, Access
from kdcore.errors import BadInput, sentence
from kdcore.fit import misfit, stages_of
from kdcore.frozen import FrozenModel, WrittenModel
from kdcore.maker import led_for
from kdcore.registry import DATA
from kdcore.untrusted import read_json
from kdcore.wall import Measure as Measure
from kdcore.wall import Wall as Wall

VERSION = 1
WITHOUT = {"method": "ce", "source": "data"}  # what needs no teacher
WITHOUT_LABELS = "kd"  # what needs no label
LATE = ("mentors", "service", "wall", "start", "changes")  # fields that came later, so that older specs keep their hash
SEVERAL = ("peers", "copies")  # lineages that come with mentors
Json = bool | int | float | str | list[Any] | None


class Choice(WrittenModel):
    """A registered thing by name, with its knobs; knobs left out take their defaults."""

    name: str
    knobs: dict[str, Json] = Field({})


class Schedule(FrozenModel):
    """How the student is optimised."""

    steps: int = Field(1000, ge=1, le=10_000_000, description="Optimiser steps.")
    batch: int = Field(64, ge=2, le=8192, description="Samples in a batch.")
    optimizer: Literal["sgd", "adam", "adamw"] = Field("sgd", description="Update rule.")
    lr: float = Field(0.05, gt=0.0, le=10.0, description="Peak learning rate.")
    momentum: float = Field(0.9, ge=0.0, lt=1.0, description="Momentum of SGD; beta 1 of Adam.")
    nesterov: bool = Field(False, description="Nesterov momentum (SGD only).")
    weight_decay: float = Field(5e-4, ge=0.0, le=1.0, description="Weight decay.")
    decay: Literal["constant", "cosine", "linear", "step"] = Field("cosine", description="Course of the learning rate.")
    warmup: float = Field(0.0, ge=0.0, lt=1.0, description="Share of the run in which the learning rate rises.")
    milestones: tuple[float, ...] = Field(
        (0.625, 0.75, 0.875), description="Shares of the run at which step decay acts."
    )
    gamma: float = Field(0.1, gt=0.0, le=1.0, description="Factor of step decay.")
    precision: Literal["float32", "bf16"] = Field(
        "float32", description="bf16 autocasts the networks; losses stay float32."
    )


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


class Spec(FrozenModel):
    """One run, whole."""

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

    @model_validator(mode="after")
    def _complete(self) -> Spec:
        """Knobs are checked and spelled out, so that the canonical JSON says everything."""
        for field, kind in (("data", "data"), ("source", "source"), ("student", "model"), ("method", "method")):
            choice: Choice = getattr(self, field)
            object.__setattr__(self, field, _spelled(kind, choice))
        if self.service:
            object.__setattr__(self, "service", _spelled("teacher", self.service))
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
                f"choose {' or '.join(_names(lambda one: one['lineage'] in SEVERAL))}."
            )
        if self.changes:
            object.__setattr__(self, "changes", tuple(one for one, _ in course(self)))
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
            ranges.read(str(self.source.knobs["rows"]))
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
        if self.service and not self.wall:
            object.__setattr__(self, "wall", Wall())
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


def _names(fits: Callable[[Mapping[str, Any]], bool]) -> list[str]:
    return [name for name, one in catalogue()["method"].items() if fits(one)]


def _alternatives(kind: str, one: Mapping[str, Any], access: Access) -> list[str]:
    """Methods or sources that make do with what `access` grants, those of the same family first."""
    known = catalogue()[kind]
    fitting = [name for name, other in known.items() if other["needs"] and set(other["needs"]) <= GRANTS[access]]
    near = sorted(fitting, key=lambda name: known[name]["family"] != one["family"])
    return (near or [WITHOUT[kind]])[:5]


def check(spec: Spec) -> None:
    """What a spec alone cannot know, to be asked before a run starts and never of one that is only looked at.

    Raises:
        BadInput: the data are not there, a network cannot read them, a teacher knows other data, mentors are missing,
            there is nothing to learn from, or the method cannot join the two networks.
    """
    shape, classes = _signature(spec.data)
    DATA[spec.data.name].model_validate(spec.data.knobs).ready()
    _check_labels(spec)
    if entry("method", spec.method.name)["lineage"] in SEVERAL and not spec.mentors:
        raise BadInput(f"Method {spec.method.name!r} learns from several teachers, but the spec names no mentors.")
    teachers = [spec.teacher, *spec.mentors] if spec.teacher else spec.mentors
    for teacher in teachers:
        _check_same_data(teacher.data, spec.data, walled=spec.wall is not None)
    if spec.start:
        _check_same_data(spec.start.data, spec.data, "start")
    check_changes(spec)
    for role, choice in (("student", spec.student), *(("teacher", teacher.student) for teacher in teachers)):
        readers = sorted(name for name in catalogue()["model"] if reads(name, shape))
        if readers and choice.name not in readers:
            raise BadInput(
                f"The {role} {choice.name!r} cannot read inputs of {_told(shape, classes)}, as in {spec.data.name!r}; "
                f"what can: {', '.join(readers)}."
            )
    if spec.teacher and (reason := unjoined(spec.method, spec.student, spec.teacher.student, shape)):
        raise BadInput(reason)


def unjoined(method: Choice, student: Choice, teacher: Choice, shape: Sequence[int]) -> str | None:
    """One sentence on why a method cannot join two networks that read inputs of `shape`; None where it can."""
    joins = entry("method", method.name)["joins"]
    if joins == "any":
        return None
    ours, theirs = (stages_of(net.name, net.knobs, shape) for net in (student, teacher))
    reason = misfit(joins, ours, theirs) if ours and theirs else None
    if not ours or not theirs or not reason:
        return None
    others = _names(lambda one: bool(one["needs"]) and misfit(one["joins"], ours, theirs) is None)
    near = sorted(others, key=lambda name: entry("method", name)["family"] not in ("features", "blocks"))[:5]
    return (
        f"Method {method.name!r} {reason}; it takes {JOINS[joins]}, such as 'cnn' or 'resnet', and methods that join "
        f"these two are {', '.join(near)} and all of logits."
    )


def _check_same_data(teacher: Choice, student: Choice, role: str = "teacher", walled: bool = False) -> None:
    """Both agree on what they see and on the rows held out, so that none is trained on by either.

    Behind a wall a teacher may know other data; what it calls its first class is then taken for the first class here.
    """
    ours, theirs = _signature(student), _signature(teacher)
    if theirs != ours or (teacher.name != student.name and not walled):
        other = "shape and number of classes" if walled else "the data set, its input shape and its classes"
        raise BadInput(
            f"The {role} was trained on {teacher.name!r} ({_told(*theirs)}), but the student on {student.name!r} "
            f"({_told(*ours)}); they must agree on {other}."
        )
    for knob in ("seed", "validation") if teacher.name == student.name else ():
        if teacher.knobs[knob] != student.knobs[knob]:
            raise BadInput(
                f"The {role}'s data have {knob} {teacher.knobs[knob]}, the student's {student.knobs[knob]}; make them "
                "equal, or rows held out from one would be trained on by the other."
            )


def _signature(data: Choice) -> tuple[tuple[int, ...], int]:
    return DATA[data.name].model_validate(data.knobs).signature()


def _check_labels(spec: Spec) -> None:
    for one in (spec, *spec.mentors, *([spec.teacher] if spec.teacher else [])):
        if not one.data.knobs["label_fraction"] and not entry("method", one.method.name)["needs"]:
            raise BadInput(
                f"Method {one.method.name!r} learns from labels alone, but label_fraction 0 hides them all; let some "
                f"be seen, or choose a method with a teacher, such as {WITHOUT_LABELS!r}."
            )


def _told_of(choice: Choice) -> str:
    knobs = ", ".join(f"{name} {value}" for name, value in choice.knobs.items())
    return f"{choice.name!r}" + (f" ({knobs})" if knobs else "")


def _told(shape: tuple[int, ...], classes: int) -> str:
    return f"shape {'x'.join(map(str, shape))}, {classes} classes"


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
    """A spec from JSON text or a mapping.

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
    """The spec with one setting changed that may change while a run is under way: see SETTABLE, or a method's knob.

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
    """The changes of a spec in their order, each with the value before it.

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
    """The value of a setting that `change` can change."""
    section, _, key = path.partition(".")
    value: Json = spec.method.knobs[key] if section == "method" else getattr(spec.schedule, key)
    return value


def check_changes(spec: Spec) -> None:
    """Refuse a change that would never happen.

    Raises:
        BadInput: a change comes after the last of all steps.
    """
    late = next((one for one in spec.changes if one.step >= spec.steps), None)
    if late:
        said = f"{late.path!r} is to change at step {late.step}, but the run has {spec.steps} steps"
        raise BadInput(f"{said}; name one from 0 to {spec.steps - 1}.")
