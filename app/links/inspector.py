"""What a link to the Inspector says: two models, the rows, the section on show, and how they are looked at.

`student=<run>` opens a run beside its own teacher, `teacher=<run>` another one's. Either may be an uploaded file, as
`student=onnx` with its knobs below it, such as `student.file`; `data=<name>` says what it is asked about. `case=<id>`
names what was opened so, or answers that were brought. Selection, pinned rows and temperature are those of every panel.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

from pydantic.fields import FieldInfo

from app.links.lab import Link, below, decode, encode
from app.panels import View
from kdcore.errors import BadInput, unknown
from kdcore.spec.catalogue import catalogue, check_knobs, entry, knobs_model
from kdcore.spec.schedule import Json
from kdcore.spec.spec import Choice

Settings = dict[str, Json]
Split = Literal["val", "test", "train"]
Section = Literal["where", "sample", "why", "slices", "boundary", "calibration", "inside", "draw"]
CASE = "case"
VIEW = ("temperature", "sample", "at", "select", "beside", "knobs")
FIELDS = {
    "student": FieldInfo(annotation=str, default=""),
    "teacher": FieldInfo(annotation=str, default=""),
    "data": FieldInfo(annotation=str, default=""),
    "where": FieldInfo(annotation=Split, default="val"),
    "section": FieldInfo(annotation=Section, default="where"),
}
PARTIES = ("student", "teacher")
DEFAULTS: Settings = {name: field.default for name, field in FIELDS.items()}
SECTIONS: tuple[Section, ...] = get_args(Section)


def brought() -> dict[str, str]:
    """Services that answer from a file, which stand for a party: name -> title."""
    return {name: one["title"] for name, one in catalogue()["teacher"].items() if one["upload"]}


def complete(changes: Settings) -> Settings:
    """Every setting: those that nobody changed, with the changes."""
    found = dict(DEFAULTS)
    for part in PARTIES:
        if (name := str(changes.get(part, ""))) in brought():
            found |= {f"{part}.{knob}": value for knob, value in check_knobs("teacher", name, {}).items()}
    return found | {key: value for key, value in changes.items() if key in found}


def put(shown: Link, key: str, value: Json) -> Link:
    """Return the link with one setting changed; another party has other knobs, and runs say themselves what their
    data are.
    """
    others = {old: known for old, known in shown.settings.items() if not old.startswith(f"{key}.")}
    settings = complete(others | {key: value})
    if key in PARTIES and with_files(shown.settings) and not with_files(settings):
        settings["data"] = DEFAULTS["data"]
    return shown._replace(settings=settings)


def beside_its_teacher(shown: Link, run_id: str) -> Link:
    """Return the link to a run beside its own teacher: nothing of the parties before stays, only the split and the
    section.
    """
    kept = {key: shown.settings[key] for key in ("where", "section")}
    return Link(complete(kept | {"student": run_id}))


def with_files(settings: Settings) -> bool:
    """Whether one of the two is an uploaded file."""
    return any(settings[part] in brought() for part in PARTIES)


def field_of(settings: Settings, key: str) -> FieldInfo:
    """Return the bounds, default and description of one setting.

    Raises:
        BadInput: there is none of that name here.
    """
    part, _, knob = key.partition(".")
    if key in FIELDS:
        return FIELDS[key]
    if key in settings:
        return knobs_model("teacher", str(settings[part])).model_fields[knob]
    raise unknown("setting", key, settings)


def file_of(settings: Settings, part: str) -> Choice | None:
    """Return the uploaded file that stands for a party; None where it is a run."""
    name = str(settings[part])
    return Choice(name=name, knobs=below(settings, part)) if name in brought() else None


def write(shown: Link) -> dict[str, str]:
    """Return the link's query parameters."""
    base = complete({part: shown.settings[part] for part in PARTIES}) | DEFAULTS
    said = {key: encode(value) for key, value in complete(shown.settings).items() if value != base[key]}
    view = shown.view.model_dump(exclude_defaults=True, include=set(VIEW))
    return said | ({CASE: shown.run} if shown.run else {}) | {key: encode(value) for key, value in view.items()}


def read(query: Mapping[str, str]) -> tuple[Link, list[str]]:
    """Return what a link says, and one sentence on each part of it that could not be used."""
    complaints: list[str] = []
    settings = complete({part: query[part] for part in PARTIES if part in query})
    view = dict[str, Any]()
    for key, text in query.items():
        try:
            if key in VIEW:
                view[key] = decode(text, View.model_fields[key], f"View {key!r}")
            elif key != CASE:
                settings |= {key: _known(key, decode(text, field_of(settings, key), f"Setting {key!r}"))}
        except BadInput as error:
            complaints.append(f"{error} The default is used instead.")
    return Link(settings, query.get(CASE), View(**view)), complaints


def _known(key: str, value: Json) -> Json:
    """Return a value that a link gives.

    Raises:
        BadInput: there is no such data set.
    """
    return str(entry("data", str(value))["name"]) if key == "data" and value else value
