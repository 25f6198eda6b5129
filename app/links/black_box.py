"""What a link to the Black box page says: an order in plain words, which run is on show and how, and back.

Settings are one flat mapping of the fields of an order, such as `preset=paper` or `budget=10000`. Somebody else's
teacher stands under `service` and its knobs below it. A link holds what differs from the order that nobody changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from itertools import product
from typing import Any

from pydantic.fields import FieldInfo

from app.links.lab import VIEW, Link, below, decode, encode
from app.panels import View
from kdcore.blackbox.orders import WALLED, WORSE, Order, parse, remote, spec
from kdcore.errors import BadInput, unknown
from kdcore.spec.catalogue import catalogue, check_knobs, entry, knobs_model
from kdcore.spec.presets import grants, pools, preset, presets, source_of
from kdcore.spec.schedule import Json
from kdcore.spec.spec import Choice, Spec, Wall
from kdcore.spec.spec import parse as parse_spec

Settings = dict[str, Json]
SERVICE, OURS = "service", "none"
PLAIN = {name: info for name, info in Order.model_fields.items() if name != SERVICE}
DEFAULTS: Settings = {name: info.default for name, info in PLAIN.items()} | {SERVICE: OURS}


def order_of(settings: Settings) -> Order:
    """Return the order that the settings make.

    Raises:
        BadInput: a value is out of bounds.
    """
    values: dict[str, Any] = {name: settings[name] for name in PLAIN}
    if settings[SERVICE] != OURS:
        values[SERVICE] = Choice(name=str(settings[SERVICE]), knobs=below(settings, SERVICE))
    return parse(values)


def settings_of(order: Order) -> Settings:
    """Return an order as settings."""
    found: Settings = {name: getattr(order, name) for name in PLAIN}
    return found | (_served(order.service.name, order.service.knobs) if order.service else {SERVICE: OURS})


def _served(name: str, knobs: Mapping[str, Json]) -> Settings:
    """Somebody else's teacher with all its knobs."""
    if name == OURS:
        return {SERVICE: OURS}
    return {SERVICE: name} | {f"{SERVICE}.{knob}": value for knob, value in check_knobs("teacher", name, knobs).items()}


def complete(changes: Settings) -> Settings:
    """Every setting: those that nobody changed, with the changes."""
    found = DEFAULTS | _served(str(changes.get(SERVICE, OURS)), {})
    return found | {key: value for key, value in changes.items() if key in found}


def choose(settings: Settings, key: str, value: Json) -> Settings:
    """Return the settings with one changed, and what goes with it: what can have no effect is put back."""
    found = complete({old: settings[old] for old in settings if key != SERVICE or not old.startswith(SERVICE)})
    found = complete(found | {key: value})
    if found["taught"] and (found[SERVICE] != OURS or not kindred(str(found["taught"]), str(found["data"]))):
        found["taught"] = ""
    if not remote(_service(found)):
        found["measure"] = DEFAULTS["measure"]
    if found["access"] != "probabilities":
        found |= dict.fromkeys(WORSE, 0) | {"noise": 0.0}
    if not grants(str(found["preset"]), found["access"]):  # type: ignore[arg-type]
        found["preset"] = _nearest(str(found["preset"]), found)
    return found if pools(str(found["preset"])) else found | {"pool": 0}


def _service(settings: Settings) -> Choice | None:
    """Return the teacher that is somebody else's, by its name."""
    return None if settings[SERVICE] == OURS else Choice(name=str(settings[SERVICE]))


def kindred(taught: str, data: str) -> bool:
    """Whether a teacher of one data set can be asked about another: images of one shape, of as many classes."""
    one, other = entry("data", taught), entry("data", data)
    return taught != data and (one["shape"], one["classes"]) == (other["shape"], other["classes"])


def _nearest(name: str, settings: Settings) -> str:
    """Return the first preset of the same kind that the access grants, or else the first of all."""
    granted = [other for other in presets() if grants(other, settings["access"])]  # type: ignore[arg-type]
    return next((other for other in granted if preset(other).kind == preset(name).kind), granted[0])


def put(shown: Link, key: str, value: Json) -> Link:
    """Return the link with one setting changed."""
    return shown._replace(settings=choose(shown.settings, key, value))


def field_of(settings: Settings, key: str) -> FieldInfo:
    """Return the bounds, default and description of one setting.

    Raises:
        BadInput: there is none of that name here.
    """
    if key in PLAIN:
        return PLAIN[key]
    if key in settings and key != SERVICE:
        return knobs_model("teacher", str(settings[SERVICE])).model_fields[key.partition(".")[2]]
    raise unknown("setting", key, settings)


def write(shown: Link) -> dict[str, str]:
    """Return the link's query parameters."""
    base = complete({SERVICE: shown.settings[SERVICE]}) | {SERVICE: OURS}
    said = {key: encode(value) for key, value in shown.settings.items() if value != base[key]}
    view = shown.view.model_dump(exclude_defaults=True, include=set(VIEW))
    run = {"run": shown.run} if shown.run else {}
    return said | run | {key: encode(value) for key, value in view.items()}


def read(query: Mapping[str, str]) -> tuple[Link, list[str]]:
    """Return what a link says, and one sentence on each part of it that could not be used."""
    complaints: list[str] = []
    said = {key: text for key, text in query.items() if key not in ("run", *VIEW)}
    settings = _named(said, complaints)
    view: dict[str, Any] = {}
    for key, text in query.items():
        try:
            if key in VIEW:
                view[key] = decode(text, View.model_fields[key], f"View {key!r}")
            elif key in said and key != SERVICE:
                settings[key] = decode(text, field_of(settings, key), f"Setting {key!r}")
                _known(key, settings[key])
        except BadInput as error:
            complaints.append(f"{error} The default is used instead.")
            settings |= {key: DEFAULTS[key]} if key in DEFAULTS else {}
    return Link(settings, query.get("run"), View(**view)), complaints


def _named(said: Mapping[str, str], complaints: list[str]) -> Settings:
    """Return the settings that nobody changed, with the teacher that the link names."""
    name = said.get(SERVICE, OURS)
    if name != OURS and name not in catalogue()["teacher"]:
        complaints.append(f"{unknown('teacher', name, catalogue()['teacher'])} The default is used instead.")
        name = OURS
    return complete({SERVICE: name})


def _known(key: str, value: Json) -> None:
    """Complain of names that nobody registered.

    Raises:
        BadInput: there is no such data set or preset.
    """
    if key in ("data", "taught") and value:
        entry("data", str(value))
    if key == "preset":
        preset(str(value))


def order_for(asked: Spec) -> Order | None:
    """Return the order that makes this very run, or None where none does."""
    return _order_for(asked.model_dump_json())


@lru_cache(maxsize=512)
def _order_for(text: str) -> Order | None:
    asked = parse_spec(text)
    wall = asked.wall or Wall()
    facts: dict[str, Any] = {name: getattr(wall, name) for name in WALLED}
    facts |= {"data": asked.data.name, "share": asked.data.knobs["train_fraction"], "seed": asked.seed}
    facts |= {"taught": asked.teacher.data.name} if asked.teacher and asked.teacher.data.name != asked.data.name else {}
    facts |= {"access": asked.access, "service": asked.service, "pool": asked.source.knobs.get("pool", 0)}
    names = [name for name in presets() if grants(name, asked.access) and _could_be(name, asked)]
    for name, quick, local in product(names, (True, False), (False, True)):
        with suppress(BadInput):
            order = parse(facts | {"preset": name, "quick": quick, "local": local})
            if spec(order).hash == asked.hash:
                return order
    return None


def of_run(asked: Spec) -> Settings | None:
    """Return the form's settings for a run like this one; None where no order makes it."""
    order = order_for(asked.model_copy(update={"changes": ()}))
    return settings_of(order) if order else None


def _could_be(name: str, asked: Spec) -> bool:
    """Whether a preset has the run's source, and its method where the source tells nothing."""
    return source_of(name) == asked.source.name and (preset(name).kind != "local" or name == asked.method.name)
