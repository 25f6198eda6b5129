"""What tells a run from others: the settings that differ from what is recommended, or from those beside it."""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import product
from typing import Any

from kdcore.blackbox import orders
from kdcore.errors import BadInput
from kdcore.spec.catalogue import check_knobs
from kdcore.spec.lineage import recommended, rooted
from kdcore.spec.presets import grants, preset, presets, source_of
from kdcore.spec.schedule import Schedule
from kdcore.spec.spec import Choice, Spec, Wall, course, parse

SHORT = {"lr": "learning rate", "kd": "KD", "kl": "KL", "tckd": "TCKD", "nckd": "NCKD", "train_fraction": "share"}
MEMBERS = ("variant", "width", "name")  # knobs that stand beside a network's name
CHOICES = {"data": "data", "source": "source", "student": "model"}
FIRST = ("method", "schedule", "data", "student", "source", "wall", "access", "service", "teacher")
MOST = 3  # settings in a title
LONGEST = 24  # characters of a value
POINTS = "data.points"  # the one setting that is as long as a data set
Leaves = dict[str, Any]


def leaves(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Paths of a nested mapping such as teacher.student.width; what only watches is left out."""
    if not isinstance(value, dict):
        yield path, value
        return
    for key, inner in value.items():
        if key not in ("watch", "version", "changes"):
            yield from leaves(path if key == "knobs" else f"{path}.{key}".strip("."), inner)


def knob(path: str) -> str:
    """Return a setting's last name as people read it."""
    name = path.rpartition(".")[2]
    return SHORT.get(name) or " ".join(SHORT.get(word, word) for word in name.split("_"))


def value(found: Any) -> str:
    """Return a setting's value as people read it, cut where it is long."""
    if isinstance(found, list):
        text = ", ".join(map(value, found))
    elif isinstance(found, bool) or found is None:
        text = "none" if found is None else "on" if found else "off"
    elif isinstance(found, int):
        text = f"{found:,}"
    else:
        text = f"{found:g}" if isinstance(found, float) else str(found)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def drawn(points: Sequence[Any]) -> str:
    """Points of one's own, as they are told where nobody reads coordinates: "80 points in 2 classes"."""
    classes = len({str(point[-1]) for point in points if isinstance(point, list) and point})
    return f"{len(points):,} points in {classes} class{'' if classes == 1 else 'es'}"


def said(path: str, found: Any) -> str:
    """Return a setting and its value: "temperature 8", "teacher's steps 500"."""
    if path.endswith(POINTS) and found:
        return drawn(found)
    whose = "teacher's " if path.startswith(("teacher.", "start.")) else ""
    whose = "student's " if path.startswith("student.") else "data's " if path == "data.seed" else whose
    if path.startswith("source.") and path.rpartition(".")[2] in Schedule.model_fields:
        whose = "generator's "  # whose steps, batches and rates are not the student's
    return f"{whose}{knob(path)} {found if path.endswith('seed') else value(found)}"


def setting(path: str) -> str:
    """Return what a setting is called where its value is not told: "teacher's steps", "data"."""
    if path == "changes":
        return "what was changed during training"
    chosen = path.removesuffix(".name").removesuffix(".student")
    if path.endswith(".name") or "." not in path:
        return knob(chosen)
    return said(path, "").strip()


def few(names: Sequence[str]) -> str:
    """Name some and say how many more there are."""
    rest = len(names) - MOST
    return ", ".join(names[:MOST]) + (f" and {rest} more setting{'s' if rest > 1 else ''}" if rest > 0 else "")


def ordered(paths: Iterable[str]) -> list[str]:
    """Paths of settings, what is chosen first and its knobs after; a teacher's data are those of its student."""
    return sorted(
        (path for path in paths if not path.startswith("teacher.data.")),
        key=lambda path: (not path.endswith("name"), _rank(path)),
    )


def changes(spec: Spec) -> list[str]:
    """Return what changed during the run: "at step 300: temperature 4 → 8"."""
    return [f"at step {one.step:,}: {knob(one.path)} {value(old)} → {value(one.value)}" for one, old in course(spec)]


def deviations(spec: Spec) -> list[str]:
    """Return the settings in which a run differs from the nearest recommendation, the method's first and the seed
    last.
    """
    return list(_deviations(spec.model_dump_json()))


@lru_cache(maxsize=4096)
def _deviations(text: str) -> tuple[str, ...]:
    spec = parse(text)
    own = _telling(spec)
    bases = ((marks, _differing(own, _telling(base))) for marks, base in _bases(spec))
    marks, found = min(bases, key=lambda one: len(one[1]))
    return (*marks, *(said(path, own.get(path)) for path in sorted(found, key=_rank)))


def _differing(own: Leaves, base: Leaves) -> list[str]:
    return [path for path in own if own[path] != base.get(path)]


def _rank(path: str) -> tuple[bool, int]:
    part = path.partition(".")[0]
    return path == "seed", FIRST.index(part) if part in FIRST else len(FIRST)


def _telling(spec: Spec) -> Leaves:
    """Return a spec's settings without those that a title says anyway, and without what the teacher has in common."""
    found = dict(leaves("", rooted(spec).model_dump(mode="json", exclude={"start", "mentors", "service"})))
    networks = ("student", "teacher.student")
    named = {f"{part}.{name}" for part in networks for name in ("name", *MEMBERS)}
    named |= {
        "data.name",
        "method.name",
        "source.name",
        "teacher",
        "teacher.source.name",
        "teacher.method.name",
        "wall",
    }
    named |= {"teacher.device", "teacher.access"}
    if spec.wall:
        named.add("access")
    shared = {path for path in found if path.startswith("teacher.") and found[path] == found.get(path[8:], found)}
    shared -= {path for path in shared if path.startswith(("teacher.schedule", "teacher.student", "teacher.seed"))}
    return {path: found[path] for path in found if path not in named | shared}


def _bases(spec: Spec) -> Iterator[tuple[tuple[str, ...], Spec]]:
    """Yield runs that are recommended for the same data and method, with the networks, source and wall of this one;
    and what else there is to say of each.
    """
    for base in _advised(spec.data.name, spec.method.name):
        yield (), _alike(base, spec)
    for marks, base in _ordered(spec) if spec.wall else ():
        yield marks, _alike(base, spec)


@lru_cache(maxsize=256)
def _advised(data: str, method: str) -> tuple[Spec, ...]:
    base = recommended(data, method)
    return (base, rooted(base).teacher or base)


def _ordered(spec: Spec) -> Iterator[tuple[tuple[str, ...], Spec]]:
    """Yield what the Black box page asks for with the presets that this run may come from."""
    for name, quick, local in product(presets(), (True, False), (False, True)):
        if grants(name, spec.access) and source_of(name) == spec.source.name:
            several = preset(name).kind == "mekd" and name != orders.Order().preset  # presets of one method
            marks = [preset(name).title] * several + ["published schedule"] * (not quick)
            with suppress(BadInput):
                yield tuple(marks), _order(spec.data.name, spec.access, name, quick, local)


@lru_cache(maxsize=1024)
def _order(data: str, access: str, name: str, quick: bool, local: bool) -> Spec:
    asked = {"data": data, "access": access, "preset": name, "quick": quick, "local": local}
    return orders.spec(orders.parse(asked))


def _alike(base: Spec, spec: Spec) -> Spec:
    """Return the recommendation with this run's networks and source by name, and its wall as a wall is by default."""
    facts: dict[str, Any] = {"wall": (base.wall or Wall()) if spec.wall else None}
    for part, kind in CHOICES.items():
        own, theirs = getattr(spec, part), getattr(base, part)
        facts[part] = theirs if own.name == theirs.name else _spelled(kind, own.name)
    if spec.teacher and base.teacher:
        own, theirs = rooted(spec).teacher, rooted(base).teacher
        assert own is not None
        assert theirs is not None
        alike = own.student.name == theirs.student.name
        student = theirs.student if alike else _spelled("model", own.student.name)
        facts["teacher"] = theirs.model_copy(update={"student": student})
    return base.model_copy(update=facts)


def _spelled(kind: str, name: str) -> Choice:
    return Choice(name=name, knobs=check_knobs(kind, name, {}))


def distinct(names: Sequence[str], specs: Sequence[Spec]) -> list[str]:
    """Return the names, with the settings that tell apart those that share one; runs of the same settings stay
    alike.
    """
    groups = defaultdict(list)
    for place, name in enumerate(names):
        groups[name].append(place)
    found = list(names)
    for places in groups.values():
        if len(places) > 1:
            for place, marks in zip(places, _apart([specs[place] for place in places]), strict=True):
                found[place] = " · ".join([names[place], *marks])
    return found


def _apart(specs: Sequence[Spec]) -> list[list[str]]:
    """Of each spec as few settings as tell all of them apart."""
    flat = [_whole(spec) for spec in specs]
    paths = dict.fromkeys(path for one in flat for path in sorted(one, key=_rank))
    kinds = len({tuple(map(str, (one.get(path) for path in paths))) for one in flat})
    marks: list[list[str]] = [[] for _ in specs]
    for path in paths:
        if len(set(map(tuple, marks))) == kinds:
            break
        values = [one.get(path) for one in flat]
        if any(other != values[0] for other in values):
            for mark, told in zip(marks, _distinct_texts(path, values), strict=True):
                mark.append(told)
    return marks


def _distinct_texts(path: str, values: Sequence[Any]) -> list[str]:
    """Return a setting's values; different ones that read alike, such as as many points, each with a mark of its
    own.
    """
    told = [found if path == "changes" else said(path, found) for found in values]
    kinds = {(text, str(found)) for text, found in zip(told, values, strict=True)}
    if len(kinds) == len(set(told)):
        return told
    marks = [f"{zlib.crc32(str(found).encode()):08x}"[:4] for found in values]
    return [f"{text} ({mark})" for text, mark in zip(told, marks, strict=True)]


def _whole(spec: Spec) -> Leaves:
    """Everything that makes a run another, with its changes during the run as one."""
    found = dict(leaves("", spec.model_dump(mode="json")))
    told = changes(spec)
    return found | {"changes": f"changed {'; '.join(told)}" if told else "unchanged"}
