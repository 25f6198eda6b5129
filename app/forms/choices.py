"""What the form knows about its choices: what each needs, what it costs, and what stands in a run's way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from app import state
from app.forms import draw_points
from app.links.lab import KINDS, NO_TEACHER, Settings, below, spec_of
from kdcore.contracts.access import GRANTS
from kdcore.contracts.data import Data
from kdcore.contracts.method import FAMILIES
from kdcore.errors import BadInput
from kdcore.spec import catalogue
from kdcore.spec.checks import check, unjoined
from kdcore.spec.registry import DATA
from kdcore.spec.spec import Choice

TROUBLES = tuple(Data.model_fields)  # the settings that every data set has
ORDER = ["2-D toy", "image", *FAMILIES]


def options(part: str) -> list[str]:
    """Names to choose from, family by family."""
    found = catalogue.catalogue()[KINDS[part]]
    rank = {name: ORDER.index(family) if (family := found[name]["family"]) in ORDER else len(ORDER) for name in found}
    names = sorted(found, key=lambda name: (rank[name], found[name]["title"]))
    return [*names, NO_TEACHER] if part == "teacher" else names


def option(part: str, name: str, settings: Settings) -> str:
    """A choice as it reads in the list, with the reason where it cannot be taken."""
    if name == NO_TEACHER:
        return "No teacher"
    one = catalogue.entry(KINDS[part], name)
    if part != "method":
        return str(one["title"])
    missing = lacking(name, settings)
    return f"{one['title']} · {FAMILIES[one['family']]}" + (f" — {missing}" if missing else "")


def pick(part: str, label: str, settings: Settings) -> None:
    """The list from which one part is chosen."""
    st.selectbox(
        label,
        offered := options(part),
        format_func=lambda name: option(part, name, settings),
        key=state.widget(part, settings[part]),
        on_change=state.picked,
        args=(part, offered),
    )


def lacking(method: str, settings: Settings) -> str | None:
    """What a method needs and the teacher does not grant, in a few words."""
    needs = set(catalogue.entry("method", method)["needs"])
    if needs and settings["teacher"] == NO_TEACHER:
        return "needs a teacher"
    missing = needs - GRANTS[settings["access"]]  # type: ignore[index]
    if missing:
        return f"needs the teacher's {' and '.join(sorted(missing))}"
    return "is incompatible with these two networks" if needs and _unjoined(method, settings) else None


def _unjoined(method: str, settings: Settings) -> str | None:
    """Why a method cannot join the two chosen networks, in one sentence; None where it can or the data are unknown."""
    student, teacher = (
        Choice(name=str(settings[part]), knobs=below(settings, part)) for part in ("student", "teacher")
    )
    known = _known(settings)
    return unjoined(Choice(name=method), student, teacher, known[0]) if known else None


def allowed(method: str, settings: Settings) -> bool:
    """Whether the teacher's grant is enough for a method, were there a teacher."""
    return set(catalogue.entry("method", method)["needs"]) <= GRANTS[settings["access"]]  # type: ignore[index]


def signature(settings: Settings) -> tuple[tuple[int, ...], int]:
    """Shape of one input and number of classes of the chosen data.

    Raises:
        BadInput: the data's settings do not describe a data set.
    """
    return DATA[str(settings["data"])].model_validate(below(settings, "data")).signature()


def _known(settings: Settings) -> tuple[tuple[int, ...], int] | None:
    """Shape and number of classes, or None while the data's settings describe no data set: a form may be unfinished."""
    try:
        return signature(settings)
    except BadInput:
        return None


def cost(settings: Settings, part: str) -> Mapping[str, Any] | None:
    """What the chosen network weighs on the chosen data; None where it is not known beforehand."""
    known = _known(settings)
    return catalogue.cost_of(str(settings[part]), below(settings, part), *known) if known else None


def _points_missing(settings: Settings) -> str | None:
    return draw_points.advice(settings[draw_points.SETTING], settings[draw_points.NAMES])  # type: ignore[arg-type]


def hindrance(settings: Settings) -> str | None:
    """The first thing that stands in the way of a run, in one sentence."""
    if unread := state.unread():
        return unread[0]
    if settings["data"] == "points" and (missing := _points_missing(settings)):
        return missing
    try:
        asked = spec_of(settings)
        said = next((said for part in ("teacher", "student") if (said := _misfit(settings, part))), None)
        if not said:
            check(asked)
    except BadInput as error:
        return str(error)
    return said


def _misfit(settings: Settings, part: str) -> str | None:
    """A network that cannot read the data: others have a cost for inputs of that shape, it has none."""
    if settings[part] == NO_TEACHER:
        return None
    shape = list(signature(settings)[0])
    readers = {
        name
        for name, model in catalogue.catalogue()["model"].items()
        if any(row["shape"] == shape for row in model["costs"])
    }
    if not readers or settings[part] in readers:
        return None
    titles = ", ".join(catalogue.entry("model", name)["title"] for name in sorted(readers))
    told = " × ".join(map(str, shape))
    return f"{option(part, str(settings[part]), settings)} does not accept inputs of shape {told}; these do: {titles}."
