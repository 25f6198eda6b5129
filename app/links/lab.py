"""What a link says, as plain functions: the settings of a run by short names, and back.

Settings are one flat mapping. A chosen thing stands under its part's name and its knobs below it:
`data=moons`, `data.noise=0.2`, `student.width=8`, `schedule.steps=500`, `teaching.lr=0.1` (how the teacher is
trained), `seed=3`. A link holds what differs from the data set's own recommendation, and which run is on show and
how. Links stay below 2 kB: what does not fit is kept on the server under its digest.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin
from urllib.parse import urlencode

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from app.panels import View
from kdcore.atomic import write_text
from kdcore.errors import BadInput, sentence, unknown
from kdcore.explain.examples import Example
from kdcore.spec.catalogue import check_knobs, entry, home, knobs_model
from kdcore.spec.lineage import lineage, recommended, rooted
from kdcore.spec.schedule import Json, Schedule
from kdcore.spec.spec import Choice, Spec, parse
from kdcore.untrusted import read_json

Settings = dict[str, Json]
KINDS = {"data": "data", "method": "method", "teacher": "model", "student": "model", "source": "source"}
SCHEDULES = ("teaching", "schedule")
NO_TEACHER = "none"
LIMIT = 1900  # characters of a query string
VIEW = ("temperature", "sample", "at")
EXAMPLE = "example"


class Link(NamedTuple):
    """Everything a link says."""

    settings: Settings
    run: str | None = None
    view: View = View()
    example: Example = Example()


# Settings and specs


def settings_of(spec: Spec) -> Settings:
    """Return a spec by short names. The teacher's own data, source and method are not told apart from the student's.

    Teachers that the method's lineage added are left out; `spec_of` adds them again.
    """
    teacher = rooted(spec).teacher
    parts = {"data": spec.data, "method": spec.method, "student": spec.student, "source": spec.source}
    found: Settings = {"teacher": NO_TEACHER}
    for part, choice in (parts | ({"teacher": teacher.student} if teacher else {})).items():
        found |= {part: choice.name} | {f"{part}.{key}": value for key, value in choice.knobs.items()}
    taught = teacher.schedule if teacher else Schedule()
    found |= {f"teaching.{key}": value for key, value in taught.model_dump(mode="json").items()}
    found |= {f"schedule.{key}": value for key, value in spec.schedule.model_dump(mode="json").items()}
    found |= {"teaching.seed": teacher.seed if teacher else 0, "seed": spec.seed}
    return found | {"access": spec.access, "device": spec.device}


def of_run(spec: Spec) -> Settings:
    """Return the form's settings for a run like this one, as far as the form can say them."""
    return complete(settings_of(spec))


def spec_of(settings: Settings) -> Spec:
    """Return the run that the settings ask for.

    Raises:
        BadInput: they do not go together.
    """
    common = {"data": _choice(settings, "data"), "device": settings["device"]}
    source = _choice(settings, "source")
    teacher = None
    if settings["teacher"] != NO_TEACHER:
        teacher = common | {
            "source": source if source["name"] == "data" else _plain(settings),
            "student": _choice(settings, "teacher"),
            "method": {"name": "ce"},
            "schedule": {key: value for key, value in below(settings, "teaching").items() if key != "seed"},
            "seed": settings["teaching.seed"],
        }
    asked = {
        "source": source,
        "student": _choice(settings, "student"),
        "method": _choice(settings, "method"),
        "teacher": teacher,
        "access": settings["access"],
        "schedule": below(settings, "schedule"),
        "seed": settings["seed"],
    }
    return lineage(parse(common | asked))


def _plain(settings: Settings) -> dict[str, Any]:
    """Return the training data as a source, for a teacher whose student sees made images or few of them."""
    augment = entry("data", str(settings["data"]))["recipe"]["augment"]
    return Choice(name="data", knobs={"augment": augment}).model_dump()


def below(settings: Settings, part: str) -> Settings:
    """Return the settings under one part, by their last name."""
    return {key.removeprefix(f"{part}."): value for key, value in settings.items() if key.startswith(f"{part}.")}


def _choice(settings: Settings, part: str) -> dict[str, Any]:
    return Choice(name=str(settings[part]), knobs=below(settings, part)).model_dump()


# What is recommended, and what differs from it


@cache
def _recommended(data: str, method: str) -> Settings:
    return settings_of(recommended(data, method))


def complete(changes: Mapping[str, Json]) -> Settings:
    """Every setting: what the data set recommends, with the changes that apply to it.

    Raises:
        BadInput: a name that nobody registered.
    """
    found = dict(_recommended(str(changes.get("data", "digits")), str(changes.get("method", "kd"))))
    for part in ("teacher", "student", "source"):
        name = str(changes.get(part, found[part]))
        if name != found[part]:
            found = {key: value for key, value in found.items() if not key.startswith(f"{part}.")}
            knobs = {} if name == NO_TEACHER else check_knobs(KINDS[part], name, {})
            found |= {part: name} | {f"{part}.{key}": value for key, value in knobs.items()}
    return found | {key: value for key, value in changes.items() if key in found}


def changed(settings: Settings) -> Settings:
    """Return what differs from the recommendation; `complete` brings the rest back."""
    names = {part: settings[part] for part in KINDS}
    advised = _recommended(str(names["data"]), str(names["method"])) | {"data": "digits", "method": "kd"}
    base = complete(names) | {part: advised[part] for part in KINDS}
    return {key: value for key, value in settings.items() if value != base[key]}


def choose(settings: Settings, key: str, value: Json) -> Settings:
    """Return the settings with one changed. Another data set brings its own recommendation, another model its own
    knobs.
    """
    kept = changed(settings)
    if key == "data":
        kept = {old: kept[old] for old in kept if old.partition(".")[0] in ("method", "seed", "access", "device")}
    elif key in KINDS:
        kept = {old: kept[old] for old in kept if not old.startswith(f"{key}.")}
    return complete(kept | {key: value})


def put(link: Link, key: str, value: Json) -> Link:
    """Return the link with one setting, or one part of the example, changed.

    Raises:
        BadInput: the example does not take the value.
    """
    if key.partition(".")[0] != EXAMPLE:
        return link._replace(settings=choose(link.settings, key, value))
    name, _, place = part_of_example(key).partition(".")
    if place:
        before = getattr(link.example, name)
        value = [value if index == int(place) else old for index, old in enumerate(before)]
    try:
        return link._replace(example=Example(**{**link.example.model_dump(), name: value}))
    except ValidationError as error:
        raise sentence(error, "The example") from error


def part_of_example(key: str) -> str:
    """Return the field of the example that a key names; the bare word is its kind."""
    return key.partition(".")[2] or "kind"


def field_of(settings: Settings, key: str) -> FieldInfo:
    """Return the bounds, default and description of one setting.

    Raises:
        BadInput: there is none of that name here.
    """
    part, _, name = key.partition(".")
    if key in settings and name and key != "teaching.seed":
        model = Schedule if part in SCHEDULES else knobs_model(KINDS[part], str(settings[part]))
        return model.model_fields[name]
    if key in settings and part in ("seed", "teaching"):
        return Spec.model_fields["seed"]
    if key in settings and key in ("access", "device"):
        return Spec.model_fields[key]
    near = [known for known in settings if part in settings and known.startswith(f"{part}.")]
    raise unknown("setting", key, near or [known for known in settings if "." not in known])


# Text


def encode(value: Json | tuple[Json, ...]) -> str:
    """One value as text; `decode` with its field reads it back exactly."""
    if isinstance(value, (list, tuple)):
        return json.dumps(value, separators=(",", ":"))[1:-1]
    return value if isinstance(value, str) else json.dumps(value)


def decode(text: str, field: FieldInfo, subject: str) -> Any:
    """Return the value of one setting from text, within its bounds.

    Raises:
        BadInput: it is not one.
    """
    if get_origin(field.annotation) is Literal:
        options = get_args(field.annotation)
        found = [option for option in options if str(option) == text]
        if not found:
            raise BadInput(f"{subject} is one of {', '.join(map(str, options))}, but got {text!r}.")
        return found[0]
    raw: Any = text
    try:
        if list in _origins(field.annotation) or tuple in _origins(field.annotation):
            raw = read_json(f"[{text}]")
        adapter: TypeAdapter[Any] = TypeAdapter(_annotated(field))
        value = adapter.validate_python(raw)
    except ValidationError as error:
        rule = error.errors(include_url=False)[0]["msg"].removeprefix("Input ").partition(", unable")[0]
        raise BadInput(f"{subject} {rule}, but got {text[:40]!r}.") from error
    except ValueError as error:
        raise BadInput(f"{subject} is a list such as 0.5,0.75, but got {text[:40]!r}.") from error
    return list(value) if isinstance(value, tuple) else value


def _annotated(field: FieldInfo) -> Any:
    """Return the field's type with its bounds."""
    return Annotated[field.annotation, field]


def _origins(annotation: Any) -> tuple[Any, Any]:
    return annotation, get_origin(annotation)


# The link itself


def write(link: Link) -> dict[str, str]:
    """Return the link's query parameters, below 2 kB together.

    Raises:
        BadInput: the settings are long and the server has no room to keep them.
    """
    shown = {"run": link.run} if link.run else {}
    view = link.view.model_dump(exclude_defaults=True, include=set(VIEW))
    shown |= {key: encode(value) for key, value in view.items()}
    example = link.example.model_dump(exclude_defaults=True)
    shown |= {EXAMPLE if key == "kind" else f"{EXAMPLE}.{key}": encode(value) for key, value in example.items()}
    said = {key: encode(value) for key, value in changed(link.settings).items()}
    if len(urlencode(said | shown)) > LIMIT:
        said = {"form": keep(said)}
    return said | shown


def read(query: Mapping[str, str]) -> tuple[Link, list[str]]:
    """Return what a link says, and one sentence on each part of it that could not be used."""
    complaints: list[str] = []
    said, names, shown = dict(query), {}, {}
    with _forgiving(complaints):
        said = kept(query["form"]) | said if "form" in query else said
    for part in KINDS.keys() & said.keys():
        with _forgiving(complaints):
            names[part] = _name(part, said[part])
    settings, example = complete(names), Example()
    situated = {key for key in said if key.partition(".")[0] == EXAMPLE}
    for key in sorted(said.keys() - {*KINDS, "run", "form", *VIEW, *situated}):
        with _forgiving(complaints):
            settings[key] = decode(said[key], field_of(settings, key), f"Setting {key!r}")
    for key in sorted(said.keys() & set(VIEW)):
        with _forgiving(complaints):
            shown[key] = decode(said[key], View.model_fields[key], f"View {key!r}")
    for key in sorted(situated):
        with _forgiving(complaints):
            example = _told(example, key, said[key])
    return Link(settings, said.get("run"), View(**shown), example), complaints


def _told(example: Example, key: str, text: str) -> Example:
    """Return the example with what a link says of one part."""
    name = part_of_example(key)
    if name not in Example.model_fields:
        raise unknown("setting", key, [f"{EXAMPLE}.{known}" for known in Example.model_fields])
    value = decode(text, Example.model_fields[name], f"Setting {key!r}")
    return example.model_copy(update={name: tuple(value) if isinstance(value, list) else value})


@contextmanager
def _forgiving(complaints: list[str]) -> Iterator[None]:
    try:
        yield
    except BadInput as error:
        complaints.append(f"{error} The default is used instead.")


def _name(part: str, name: str) -> str:
    if part == "teacher" and name == NO_TEACHER:
        return name
    return str(entry(KINDS[part], name)["name"])


# What does not fit into a link


def keep(said: Mapping[str, str]) -> str:
    """Put long settings on the server's disk; the answer is their digest, by which `kept` finds them.

    Raises:
        BadInput: the disk does not take them.
    """
    text = json.dumps(said, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    try:
        write_text(home() / "links" / f"{digest}.json", text)
    except OSError as error:
        raise BadInput(f"These settings are too long for a link and could not be kept ({error.strerror}).") from error
    return digest


def kept(digest: str) -> dict[str, str]:
    """Long settings by their digest.

    Raises:
        BadInput: nothing is kept under it here.
    """
    path = home() / "links" / f"{digest}.json"
    try:
        if re.fullmatch(r"[0-9a-f]{16}", digest):
            return {str(key): str(value) for key, value in json.loads(path.read_text()).items()}
    except (OSError, ValueError):
        pass
    raise BadInput(f"This server keeps no settings under {digest[:20]!r}; ask for a link to a run instead.")
