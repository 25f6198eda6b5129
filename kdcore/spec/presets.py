"""What makes the images that a teacher behind a wall is asked about, by name. No torch is imported here.

Presets of MEKD are written out; every other source of images, and every method on the edge's own images, is a preset by
its own name.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Literal, NamedTuple

from kdcore.contracts.access import GRANTS, Access
from kdcore.errors import unknown
from kdcore.spec.catalogue import catalogue, entry
from kdcore.spec.schedule import Json

Kind = Literal["mekd", "maker", "local"]
OWN = "mekd"  # source and method of the presets that are written out
PLAIN = ("data", "slice")  # sources that show training images to every method alike
FAMILIES = ("baseline", "logits", "black box")  # of methods that need no true label and no trouble to mend


class Preset(NamedTuple):
    """What makes the images, and what is learned from the answers."""

    title: str
    says: str  # one sentence: what it is
    ours: str  # one sentence: what of it is ours; "" where nothing is
    kind: Kind
    source: Mapping[str, Json] = {}  # knobs
    method: Mapping[str, Json] = {}


_FAITHFUL: dict[str, Json] = {"information": "paper", "alpha": 0.5, "align": "none", "map": "temperature", "tau": 5.0}
_ALIGNED: dict[str, Json] = {"information": "paper", "alpha": 0.5, "align": "self", "rho": 10.0, "map": "standard"}
PRESETS: dict[str, Preset] = {
    "quick": Preset(
        "MEKD, aligned and quick",
        "A small generator that trains quickly, designed for two CPU cores.",
        "The alignment, the small generator and its usual batch norm are ours.",
        "mekd",
        _ALIGNED | {"width": 32, "nets": "usual"},
        {"kl_weight": 0.5},
    ),
    "aligned": Preset(
        "MEKD, aligned",
        "MEKD whose generator also learns to show the predicted class.",
        "The alignment and the standardised answers are ours, and no part of MEKD.",
        "mekd",
        _ALIGNED,
        {"kl_weight": 0.5},
    ),
    "paper": Preset(
        "MEKD as in the paper",
        "A generator plays against the edge's images, and the teacher's confidence weighs the game.",
        "",
        "mekd",
        _FAITHFUL,
        {"kl_weight": 0.5, "pixels": "sum"},
    ),
    "released": Preset(
        "MEKD as in the released code",
        "The published program: its information term tells the generator nearly nothing of the teacher.",
        "",
        "mekd",
        _FAITHFUL | {"information": "released"},
        {"kl_weight": 1.0, "pixels": "mean"},
    ),
}


@cache
def presets() -> dict[str, Preset]:
    """Every preset by name: those of MEKD, other sources of images, methods on the edge's own images."""
    known = dict(PRESETS)
    known |= {name: _of_source(one) for name, one in catalogue()["source"].items() if name not in (*PLAIN, OWN)}
    return known | {name: _of_method(one) for name, one in catalogue()["method"].items() if _local(one)}


def preset(name: str) -> Preset:
    """A preset by name.

    Raises:
        BadInput: there is none.
    """
    if name not in presets():
        raise unknown("preset", name, presets())
    return presets()[name]


def grants(name: str, access: Access) -> bool:
    """Whether what the teacher returns is enough for a preset."""
    one = preset(name)
    if one.kind == "local":
        return set(entry("method", name)["needs"]) <= GRANTS[access]
    needs = set(entry("source", source_of(name))["needs"])
    return needs | {"labels"} <= GRANTS[access]


def pools(name: str) -> bool:
    """Whether a preset can make its images once and use them again."""
    one = preset(name)
    return one.kind != "local" and "pool" in entry("source", source_of(name))["schema"].get("properties", {})


def source_of(name: str) -> str:
    """The source behind a preset."""
    return {"mekd": OWN, "maker": name, "local": "data"}[preset(name).kind]


def shows_local(name: str) -> bool:
    """Whether a preset cannot do without showing the teacher the edge's own images."""
    return bool(entry("source", source_of(name))["local"])


def _of_source(one: Mapping[str, Any]) -> Preset:
    return Preset(one["title"], _first(one), "", "maker")


def _of_method(one: Mapping[str, Any]) -> Preset:
    return Preset(f"{one['title']} on local images", _first(one), "", "local")


def _first(one: Mapping[str, Any]) -> str:
    """The first sentence of a docstring."""
    return " ".join(str(one["doc"]).split("\n\n")[0].split())


def _local(one: Mapping[str, Any]) -> bool:
    """Methods that learn from one teacher's answers to images, without its inside and without true labels."""
    outside = bool(one["needs"]) and set(one["needs"]) <= GRANTS["logits"] and one["family"] in FAMILIES
    return outside and one["lineage"] == "teacher" and one["joins"] == "any" and "inverse" not in one["asks"]
