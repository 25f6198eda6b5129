"""What a link to the Inspector says: two models, the rows, the section on show, and how they are looked at.

`student=<run>` opens a run beside its own teacher, `teacher=<run>` another one's; `case=<id>` names what was opened so,
uploads too. Selection, pinned rows and temperature are those of every panel.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

from pydantic.fields import FieldInfo

from app.link import Link, decode, encode
from app.panels import View
from kdcore.cases.case import Where
from kdcore.errors import BadInput, unknown
from kdcore.spec import Json

Settings = dict[str, Json]
Section = Literal["where", "sample", "why", "slices", "boundary", "calibration", "inside", "draw"]
CASE = "case"
VIEW = ("temperature", "sample", "at", "select", "beside", "knobs")
FIELDS = {
    "student": FieldInfo(annotation=str, default=""),
    "teacher": FieldInfo(annotation=str, default=""),
    "where": FieldInfo(annotation=Where, default="val"),
    "section": FieldInfo(annotation=Section, default="where"),
}
DEFAULTS: Settings = {name: field.default for name, field in FIELDS.items()}
SECTIONS: tuple[Section, ...] = get_args(Section)


def complete(changes: Settings) -> Settings:
    """Every setting: those that nobody changed, with the changes."""
    return DEFAULTS | {key: value for key, value in changes.items() if key in DEFAULTS}


def put(shown: Link, key: str, value: Json) -> Link:
    """The link with one setting changed."""
    return shown._replace(settings=shown.settings | {key: value})


def write(shown: Link) -> dict[str, str]:
    """The link's query parameters."""
    said = {key: encode(value) for key, value in shown.settings.items() if value != DEFAULTS[key]}
    view = shown.view.model_dump(exclude_defaults=True, include=set(VIEW))
    return said | ({CASE: shown.run} if shown.run else {}) | {key: encode(value) for key, value in view.items()}


def read(query: Mapping[str, str]) -> tuple[Link, list[str]]:
    """What a link says, and one sentence on each part of it that could not be used."""
    complaints: list[str] = []
    settings, view = dict(DEFAULTS), dict[str, Any]()
    for key, text in query.items():
        try:
            if key in VIEW:
                view[key] = decode(text, View.model_fields[key], f"View {key!r}")
            elif key != CASE:
                if key not in FIELDS:
                    raise unknown("setting", key, FIELDS)
                settings[key] = decode(text, FIELDS[key], f"Setting {key!r}")
        except BadInput as error:
            complaints.append(f"{error} The default is used instead.")
    return Link(settings, query.get(CASE), View(**view)), complaints
