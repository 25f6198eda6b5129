"""A spec from the words of a command line.

`name:knob=value,knob=value` picks a registered thing, `name:value` sets its first knob, and `path=value` sets one
setting by its path in the spec, such as schedule.decay or teacher.schedule.steps.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kdcore.blackbox import orders
from kdcore.contracts.data import Data
from kdcore.errors import BadInput, shortened, unknown
from kdcore.spec.catalogue import check_knobs, entry
from kdcore.spec.lineage import lineage, recommended, rooted
from kdcore.spec.spec import Spec, Wall, parse
from kdcore.untrusted import read_json, read_text

KINDS = {"data": "data", "source": "source", "student": "model", "method": "method", "service": "teacher"}
SHARED = ("data", "device")  # flags that hold for the teacher too
NO_TEACHER = "none"  # nor any service


def wanted(
    file: str | None, flags: Mapping[str, str | None], settings: Sequence[str], changes: Sequence[str] = ()
) -> Spec:
    """Return what is asked for: a file's spec or a data set's recommendation, with changes.

    Args:
        file: path of a spec in JSON, or of what `kdlab show RUN --json` printed; "-" for stdin.
        flags: text by path; those not given are None. "preset" is one of the Black box page's, as name:key=value.
        settings: path=value, applied after the flags.
        changes: step:path=value, of settings that change during the run.

    Raises:
        BadInput: something cannot be read, is unknown or out of bounds.
    """
    said = {path: text for path, text in flags.items() if text is not None}
    if "preset" in said:
        return _ordered(file, said, settings, changes)
    raw = (_told(read(file)) if file else _advised(said)).model_dump(mode="json")
    _change(raw, said)
    for setting in settings:
        _set(raw, setting)
    _plan(raw, changes)
    return parse(raw) if file else lineage(parse(raw))


def read(file: str) -> str:
    """Return the text of a spec.

    Raises:
        BadInput: the file is absent, too large or no text.
    """
    try:
        return read_text(sys.stdin.buffer if file == "-" else Path(file))
    except OSError as error:
        raise BadInput(
            f"The spec {file} cannot be read ({error.strerror}); give a JSON file, or - for stdin."
        ) from error
    except UnicodeDecodeError as error:
        raise BadInput(
            f"The spec {file} is not text; give a JSON file such as `kdlab show RUN --json` holds."
        ) from error
    except ValueError as error:
        raise BadInput(f"The spec {file} cannot be read ({error}); give a JSON file, or - for stdin.") from error


def choice(kind: str, text: str) -> dict[str, Any]:
    """Return a registered thing by name with its knobs.

    Raises:
        BadInput: an unknown name or knob, or a value out of bounds.
    """
    name, _, said = text.partition(":")
    properties = entry(kind, name)["schema"].get("properties", {})
    knobs: dict[str, Any] = {}
    for part in re.split(r",(?=\w+=)", said) if said else ():
        named = re.fullmatch(r"(\w+)=(.*)", part, re.DOTALL)
        knob, value = named.groups() if named else (_first(kind, name, properties), part)
        knobs[knob] = typed(value, properties.get(knob, {}).get("default"))
    return {"name": name, "knobs": check_knobs(kind, name, knobs)}


def typed(text: str, before: object) -> Any:
    """Text as JSON where it is some, unless text stood there before."""
    try:
        return text if isinstance(before, str) else read_json(text)
    except ValueError:
        return text


def assign(raw: dict[str, Any], path: str, text: str) -> None:
    """Set one setting of a spec's JSON in place; a path leaves out the word "knobs".

    Raises:
        BadInput: there is no such setting.
    """
    *parents, last = path.split(".")
    if parents[:1] == ["wall"] and raw.get("wall") is None:
        raw["wall"] = Wall().model_dump(mode="json")
    place: Any = raw
    for depth, key in enumerate(parents):
        place = _holder(place, key, parents[:depth])[key]
    holder = _holder(place, last, parents)
    if last in ("teacher", "service") and text == NO_TEACHER:
        holder[last] = None
    elif last in KINDS and holder is place:
        holder[last] = choice(KINDS[last], text)
    else:
        holder[last] = typed(text, holder[last])


def allows_local(preset: str | None) -> bool:
    """Whether the words of `--preset` allow that local images are sent, as in aligned:local=true."""
    parts = [part.partition("=") for part in (preset or "").partition(":")[2].split(",")]
    return any(typed(value, False) is True for key, _, value in parts if key == "local")


ORDERED = ("data", "access", "seed")  # flags that an order answers itself


def _ordered(file: str | None, said: Mapping[str, str], settings: Sequence[str], changes: Sequence[str]) -> Spec:
    """Return the run of the Black box page that `--preset` names, with the other flags as changes to it.

    Raises:
        BadInput: a file is named too, or the order does not go together.
    """
    if file:
        raise BadInput("--preset and --spec both say what to run; give one of them.")
    name, _, text = said["preset"].partition(":")
    asked: dict[str, Any] = {"preset": name} | {flag: typed(said[flag], "") for flag in ORDERED if flag in said}
    if knobs := "data" in said and ":" in said["data"]:
        asked["data"] = said["data"].partition(":")[0]
    for part in filter(None, text.split(",")):
        key, equals, value = part.partition("=")
        if not equals or key not in orders.Order.model_fields:
            raise unknown("setting of an order", key, orders.Order.model_fields)
        asked[key] = typed(value, getattr(orders.Order(), key))
    raw = orders.spec(orders.parse(asked)).model_dump(mode="json")
    answered = {*ORDERED, "preset"} - ({"data"} if knobs else set())
    _change(raw, {path: value for path, value in said.items() if path not in answered})
    for setting in settings:
        _set(raw, setting)
    _plan(raw, changes)
    return parse(raw)


def _plan(raw: dict[str, Any], changes: Sequence[str]) -> None:
    """Add what changes during the run, each as step:path=value; a knob alone means the method's."""
    if changes and not isinstance(raw["changes"], list):
        raise BadInput("--set changes and --change both say what changes during the run; give --change alone.")
    for text in changes:
        named = re.fullmatch(r"(\d{1,12}):([\w.]+)=(.*)", text, re.DOTALL)
        if named is None:
            raise BadInput(
                f"--change takes step:path=value, such as 300:method.temperature=8, but got {shortened(text)}."
            )
        step, path, value = named.groups()
        path = path if "." in path else f"method.{path}"
        before = raw["method"]["knobs"].get(path.removeprefix("method."))
        raw["changes"].append({"step": int(step), "path": path, "value": typed(value, before)})


def _change(raw: dict[str, Any], said: Mapping[str, str]) -> None:
    """Apply flags; some hold for the teacher too."""
    for path, text in said.items():
        assign(raw, path, text)
        if path in SHARED and raw["teacher"]:
            assign(raw["teacher"], path, text)


def _set(raw: dict[str, Any], setting: str) -> None:
    """One path=value of the command line."""
    path, equals, text = setting.partition("=")
    if not equals:
        raise BadInput(f"--set takes path=value, such as schedule.decay=linear, but got {setting!r}.")
    assign(raw, path, text)


def _told(text: str) -> Spec:
    """Return the spec in a JSON text: all of it, or what stands under "spec" where a run is described."""
    try:
        raw = read_json(text)
    except ValueError:
        raw = None  # `parse` says what is wrong
    held = raw.get("spec") if isinstance(raw, dict) else None
    return parse(held if isinstance(held, dict) else text)


def _advised(said: Mapping[str, str]) -> Spec:
    """Return the recommendation of the data set and the method that are named."""
    data, method = (
        said.get(path, default).partition(":")[0] for path, default in (("data", "digits"), ("method", "kd"))
    )
    return rooted(recommended(data, method))


def _first(kind: str, name: str, properties: Mapping[str, Any]) -> str:
    """Return the knob that a bare value means; what every data set has is not meant."""
    own = [knob for knob in properties if kind != "data" or knob not in Data.model_fields]
    if not own:
        raise BadInput(
            f"{name!r} has no knob of its own, so a bare value says nothing; write {name} or {name}:knob=value."
        )
    return own[0]


def _holder(place: Any, key: str, above: Sequence[str]) -> dict[str, Any]:
    """Where `key` stands: in a mapping, or among the knobs of a choice."""
    where = ".".join(above) or "the spec"
    if not isinstance(place, dict):
        raise BadInput(f"{where} is {json.dumps(place)}, so there is no {key!r} in it to set; set {where} itself.")
    known: dict[str, Any] = place.get("knobs") or {}
    holder = next((holder for holder in (place, known) if key in holder), None)
    if holder is None:
        raise unknown(f"setting in {where}", key, [*(name for name in place if name != "knobs"), *known])
    return holder
