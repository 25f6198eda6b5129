"""A value that a knob does not take is refused by form, link, command line and spec, before anything runs."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal, get_args, get_origin

import pytest
from pydantic import AfterValidator, BaseModel, Field, model_validator
from pydantic.fields import FieldInfo

from app.cli.arguments import wanted
from app.links.lab import decode, encode
from kdcore.blackbox.orders import Order
from kdcore.errors import BadInput
from kdcore.spec.catalogue import KINDS, check_copy, check_knobs, knobs_model
from kdcore.spec.registry import REGISTRIES
from kdcore.spec.schedule import Schedule
from kdcore.spec.spec import Wall, parse

THINGS = [(kind, name) for kind in KINDS for name in REGISTRIES[kind]]


def wrong(info: FieldInfo) -> Iterator[Any]:
    """Values just beyond each bound of a field, and one of another type."""
    whole = info.annotation is int
    for rule in info.metadata:
        if hasattr(rule, "ge"):
            yield rule.ge - 1 if whole else math.nextafter(rule.ge, -math.inf)
        if hasattr(rule, "le"):
            yield rule.le + 1 if whole else math.nextafter(rule.le, math.inf)
        if hasattr(rule, "multiple_of"):
            yield info.default + rule.multiple_of / 2 if not whole else info.default + 1
        yield from (getattr(rule, name) for name in ("gt", "lt") if hasattr(rule, name))
        if hasattr(rule, "max_length"):
            yield [0] * (rule.max_length + 1)
    if get_origin(info.annotation) in (list, tuple) and get_args(info.annotation)[0] is float:
        yield ["a word"]
    if info.annotation in (int, float, bool) or get_origin(info.annotation) is Literal:
        yield "a word"


@pytest.mark.parametrize(("kind", "name"), THINGS)
def test_every_bound_of_every_knob_holds_before_anything_runs(kind: str, name: str) -> None:
    fields = REGISTRIES[kind][name].model_fields
    for key, field in fields.items():
        for value in wrong(field):
            with pytest.raises(BadInput):
                check_knobs(kind, name, {key: value})
            with pytest.raises(BadInput):  # what the form and the link read it with
                decode(encode(value), knobs_model(kind, name).model_fields[key], key)


def test_the_width_of_a_generator_is_even_everywhere() -> None:
    flags = {"data": "digits", "access": "probabilities"}
    words = ["source=mekd", "source.width=33", "method=mekd"]
    with pytest.raises(BadInput, match=r"width.*multiple of 2.*33"):
        wanted(None, flags, words)
    raw = wanted(None, flags, ["source=mekd", "source.width=32", "method=mekd"]).model_dump(mode="json")
    raw["source"]["knobs"]["width"] = 33
    with pytest.raises(BadInput, match=r"width.*multiple of 2.*33"):
        parse(json.dumps(raw))


class Knobs(BaseModel):
    """What every invented thing below has."""

    title: ClassVar[str] = "Invented"


class Odd(Knobs):
    """A bound that no schema says."""

    share: Annotated[float, AfterValidator(abs)] = 0.5


class Together(Knobs):
    """Two knobs that hang together."""

    low: int = 0
    high: int = 1

    @model_validator(mode="after")
    def _ordered(self) -> Together:
        return self


class Nested(Knobs):
    """A type that no list of ours is."""

    pair: tuple[int, str] = (1, "a")


class Whole(Knobs):
    """Every kind of bound that a schema says."""

    even: int = Field(2, ge=0, lt=100, multiple_of=2, title="An even number")
    word: str = Field("ab", min_length=1, max_length=5, pattern="^[a-z]*$")
    some: list[int] = Field([1], min_length=1, max_length=3)
    maybe: float | None = Field(None, description="Or nothing.")
    pick: Literal["a", "b"] = "a"
    only: Literal[1] = 1


@pytest.mark.parametrize("thing", [Odd, Together, Nested])
def test_a_knob_that_its_schema_does_not_tell_whole_is_refused_with_the_catalogue(thing: type[BaseModel]) -> None:
    with pytest.raises(TypeError, match="does not say all"):
        check_copy("method", "invented", thing)


def test_every_bound_that_a_schema_can_say_comes_through() -> None:
    check_copy("method", "invented", Whole)


@pytest.mark.parametrize(("copy", "original"), [(Order, Wall)])
def test_fields_that_are_said_twice_have_one_bound(copy: type[BaseModel], original: type[BaseModel]) -> None:
    for name in copy.model_fields.keys() & original.model_fields.keys():
        ours, theirs = copy.model_fields[name], original.model_fields[name]
        assert (ours.annotation, ours.metadata, ours.default) == (theirs.annotation, theirs.metadata, theirs.default)


@pytest.mark.parametrize("key", Schedule.model_fields)
def test_the_bounds_of_a_schedule_hold_in_form_and_spec(key: str) -> None:
    for value in wrong(Schedule.model_fields[key]):
        with pytest.raises(BadInput):
            decode(encode(value), Schedule.model_fields[key], key)
        with pytest.raises(BadInput):
            parse({"student": {"name": "mlp"}, "schedule": {key: value}})
