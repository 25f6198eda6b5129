"""What exists, as plain data, for those who must not load torch: the web process, the command line, the docs.

The catalogue is derived from the registries by a process that may import torch. It comes with the installation as
`catalogue.json`, which holds a digest of its sources; where these were edited since, it is derived again and kept in
the home. It is never edited by hand: `make catalogue` writes it.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache, reduce
from operator import or_
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError, create_model
from pydantic.fields import FieldInfo

from kdcore.atomic import write_text
from kdcore.errors import BadInput, sentence, unknown
from kdcore.frozen import FrozenModel

ROOT = Path(__file__).parents[1]
KINDS = ("method", "model", "data", "source", "teacher")
SHIPPED = Path(__file__).with_name("catalogue.json")
WEIGHED = ("contracts/*.py", "spec/costs.py", "models/*.py", "data/*.py")  # what the table of costs depends on
SOURCES = (  # what the catalogue depends on
    *WEIGHED,
    "frozen.py",
    "spec/catalogue.py",
    "spec/registry.py",
    "generation/source.py",
    *(f"{name}/*.py" for name in ("methods", "sources", "teachers")),
)
ROOM_BYTES = 1 << 20  # of disk that building the catalogue takes, at least
TYPES = {"integer": int, "number": float, "boolean": bool, "string": str, "null": None}  # of JSON schema
BOUNDS = {  # of JSON schema, and how pydantic calls them
    "minimum": "ge",
    "exclusiveMinimum": "gt",
    "maximum": "le",
    "exclusiveMaximum": "lt",
    "multipleOf": "multiple_of",
    "minLength": "min_length",
    "maxLength": "max_length",
    "pattern": "pattern",
    "minItems": "min_length",
    "maxItems": "max_length",
}
Entry = dict[str, Any]  # name, title, family, doc, source, departs, zero_when, schema, and the kind's own facts


def home() -> Path:
    """Return the folder that holds runs, data and the catalogue: KDLAB_HOME, or ~/.kdlab."""
    return Path(os.environ.get("KDLAB_HOME") or Path.home() / ".kdlab")


def sources_digest(patterns: Sequence[str] = SOURCES) -> str:
    """Ten hex digits over the names and contents of the files that the patterns name."""
    digest = hashlib.sha256()
    for path in sorted({path for pattern in patterns for path in ROOT.glob(pattern)}):
        digest.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return digest.hexdigest()[:10]


def stored() -> Path:
    """Where the catalogue of these sources is kept: with the installation, or, once it is built, in the home."""
    sources = sources_digest()
    return SHIPPED if _read(SHIPPED)["sources"] == sources else home() / f"catalogue-{sources}.json"


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())  # type: ignore[no-any-return]
    except FileNotFoundError:
        return {"sources": "", "weighed": ""}


@cache
def catalogue() -> dict[str, dict[str, Entry]]:
    """Every registered thing by kind and name; built once per version of the sources, in a process of its own."""
    path = stored()
    if not path.exists():
        _check_room(path.parent)
        done = subprocess.run(
            [sys.executable, "-m", "kdcore.spec.catalogue", str(path)], capture_output=True, text=True
        )
        if done.returncode:
            raise RuntimeError(f"The catalogue could not be built:\n{done.stderr}")
    found = _read(path)
    return {kind: found[kind] for kind in KINDS}


def _check_room(folder: Path) -> None:
    """Pass where a catalogue can be written to `folder`, which is made where it is absent.

    Raises:
        BadInput: the folder is none, may not be written, or its disk is full.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as draft:
            draft.write(bytes(ROOM_BYTES))
    except OSError as error:
        raise BadInput(
            f"The home {folder} cannot be written ({error.strerror}); free some space, or set KDLAB_HOME to another "
            "folder."
        ) from error


def entry(kind: str, name: str) -> Entry:
    """Return what the catalogue says of one thing.

    Raises:
        BadInput: there is none of that name.
    """
    known = catalogue()[kind]
    if name not in known:
        raise unknown({"data": "data set"}.get(kind, kind), name, known)
    return known[name]


@cache
def knobs_model(kind: str, name: str) -> type[BaseModel]:
    """Return the knobs of one thing as a pydantic model with the same fields, bounds and descriptions."""
    return _model(name, entry(kind, name)["schema"])


def _model(name: str, schema: Mapping[str, Any]) -> type[BaseModel]:
    """Return a pydantic model with the fields of a JSON schema."""
    fields = {key: _field(key, value) for key, value in schema.get("properties", {}).items()}
    model: type[BaseModel] = create_model(f"{name} knobs", __base__=FrozenModel, **fields)  # type: ignore[call-overload]
    return model


def check_knobs(kind: str, name: str, knobs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the knobs, checked, with every default spelled out.

    Raises:
        BadInput: an unknown name or knob, or a value out of bounds.
    """
    model = knobs_model(kind, name)
    strange = [key for key in knobs if key not in model.model_fields]
    if strange:
        if not model.model_fields:
            raise BadInput(f"{name!r} has no knobs, but got {strange[0]!r}; remove it.")
        raise unknown(f"knob of {name!r}", strange[0], model.model_fields)
    try:
        return model(**knobs).model_dump(mode="json")
    except ValidationError as error:
        raise sentence(error, f"{kind.capitalize()} {name!r}") from error


def cost_of(model: str, knobs: Mapping[str, Any], shape: Sequence[int], classes: int) -> dict[str, int] | None:
    """Parameters, multiply-adds and size in bytes of a model, or None where the catalogue has no such row.

    Raises:
        BadInput: an unknown model or knob, or a value out of bounds.
    """
    chosen = check_knobs("model", model, knobs)
    for row in entry("model", model)["costs"]:
        if row["shape"] == list(shape) and row["knobs"] == chosen:
            figures = {name: row[name] for name in ("parameters", "multiply_adds", "size_bytes")}
            return {name: base + per_class * classes for name, (base, per_class) in figures.items()}
    return None


def reads(model: str, shape: Sequence[int]) -> bool:
    """Whether the catalogue knows that a model can read inputs of `shape`."""
    return any(row["shape"] == list(shape) for row in entry("model", model)["costs"])


def _field(key: str, schema: Mapping[str, Any]) -> tuple[Any, Any]:
    """One JSON-schema property as a pydantic field."""
    bounds = {ours: schema[theirs] for theirs, ours in BOUNDS.items() if theirs in schema}
    given = schema.get("title") != key.title().replace("_", " ")  # which pydantic says of a field without a title
    title = schema.get("title") if given else None
    extra = {"symbol": schema["symbol"]} if "symbol" in schema else None
    return _type(schema), Field(
        schema["default"], title=title, description=schema.get("description"), json_schema_extra=extra, **bounds
    )


def _type(schema: Mapping[str, Any]) -> Any:
    """Return what values a JSON schema describes, its bounds aside."""
    if "enum" in schema or "const" in schema:
        return Literal[tuple(schema.get("enum", [schema.get("const")]))]
    if "anyOf" in schema:
        return reduce(or_, (_type(one) for one in schema["anyOf"]))
    if schema.get("type") == "array":
        return list[_type(schema.get("items", {}))]  # type: ignore[misc]
    return TYPES[schema["type"]] if "type" in schema else Any


def check_copy(kind: str, name: str, thing: type[BaseModel]) -> None:
    """Make sure that the knobs of a thing are whole in its schema: those without torch know nothing else of them.

    Raises:
        TypeError: a bound or a type gets lost, or a validator says what no schema can.
    """
    schema = thing.model_json_schema()
    validators = thing.__pydantic_decorators__
    hidden = [*validators.field_validators, *validators.model_validators, *validators.validators]
    copy = _model(name, schema)
    lost = [key for key, field in thing.model_fields.items() if not _alike(field, copy.model_fields[key])]
    told = copy.model_json_schema().get("properties", {})
    lost += [key for key, value in schema.get("properties", {}).items() if told[key] != value and key not in lost]
    if lost or hidden:
        raise TypeError(
            f"The schema of {kind} {name!r} does not say all of {', '.join(lost or hidden)}: say each bound in the "
            "knob's Field, with a type that JSON schema knows; check what concerns several knobs where they are used."
        )


def _alike(one: FieldInfo, other: FieldInfo) -> bool:
    """Whether two fields have the same bounds and nothing else that checks them."""
    return {repr(rule) for rule in one.metadata} == {repr(rule) for rule in other.metadata}


def _paragraphs(doc: str) -> dict[str, str]:
    """`Source:`, `Departs from it:` and `Zero when:` of a docstring, and what stands before them."""
    keys = {"Source:": "source", "Departs from it:": "departs", "Zero when:": "zero_when"}
    found = {"doc": ""}
    current = "doc"
    for line in inspect.cleandoc(doc).splitlines():
        mark = next((mark for mark in keys if line.startswith(mark)), None)
        if mark:
            current, line = keys[mark], line.removeprefix(mark)
        found[current] = f"{found.get(current, '')}\n{line.strip() if current != 'doc' else line}"
    return {key: text.strip() for key, text in found.items()}


def _describe(kind: str, name: str, thing: type[Any]) -> Entry:
    """One entry, read from the class and its file's docstring."""
    check_copy(kind, name, thing)
    module = sys.modules[thing.__module__]
    described: Entry = {
        "name": name,
        "title": thing.title,
        "family": getattr(thing, "family", ""),
        **_paragraphs(module.__doc__ or ""),
        "schema": thing.model_json_schema(),
        "file": str(Path(module.__file__ or "").relative_to(ROOT.parent)),
    }
    if kind == "method":
        for knob, symbol in thing.symbols.items():
            described["schema"]["properties"][knob]["symbol"] = symbol
        described |= {
            "needs": sorted(thing.needs),
            "asks": sorted(thing.asks),
            "joins": thing.joins,
            "lineage": thing.lineage,
            "rate": thing.rate,
            "fixed": sorted(thing.fixed),
            "equation": thing.equation,
            "paper": thing.paper,
        }
    if kind == "source":
        described |= {"makes": thing.makes, "needs": sorted(thing.needs), "inverts": thing.inverts}
        described |= {"probes": thing.probes, "leading": thing.leading, "local": thing.local, "queries": thing.queries}
    if kind == "teacher":
        described |= {"says": thing.says, "upload": thing.upload, "required": thing.required}
        described |= {"remote": thing.remote}
    if kind == "data":
        shape, classes = thing().signature()
        described |= {"recipe": thing.recipe._asdict(), "shape": list(shape), "classes": classes}
    return described


def build() -> dict[str, dict[str, Entry]]:
    """Return the catalogue, from the registries; imports torch."""
    import torch

    from kdcore.spec.registry import REGISTRIES

    torch.set_num_threads(1)  # tiny networks are built much faster so
    found = {kind: {name: _describe(kind, name, REGISTRIES[kind][name]) for name in REGISTRIES[kind]} for kind in KINDS}
    for name, rows in _costs().items():
        found["model"][name]["costs"] = rows
    return found


def _costs() -> dict[str, list[Entry]]:
    """Return the table of costs by model; most of a catalogue's time goes into it, so it is kept while models are
    the same.
    """
    shipped = _read(SHIPPED)
    if shipped["weighed"] == sources_digest(WEIGHED):
        return {name: found["costs"] for name, found in shipped["model"].items()}
    from kdcore.spec.costs import costs, members
    from kdcore.spec.registry import DATA, MODELS

    shapes = sorted({data(**knobs).signature()[0] for data in DATA.values() for knobs in members(data)})
    return {name: costs(model, shapes) for name, model in MODELS.items()}


def write(path: Path, found: Mapping[str, Mapping[str, Entry]]) -> None:
    """Put a catalogue at `path`, whole or not at all, an entry a line, and remove those of other sources beside it."""
    parts = [f'"{name}": "{digest}"' for name, digest in _digests().items()]
    parts += [f'"{kind}": {{\n{_lines(entries)}\n}}' for kind, entries in found.items()]
    write_text(path, "{{\n{}\n}}\n".format(",\n".join(parts)))
    for old in path.parent.glob("catalogue-*.json"):
        if old != path:
            old.unlink(missing_ok=True)


def _digests() -> dict[str, str]:
    return {"sources": sources_digest(), "weighed": sources_digest(WEIGHED)}


def _lines(entries: Mapping[str, Entry]) -> str:
    return ",\n".join(f'"{name}": {json.dumps(entry)}' for name, entry in entries.items())


if __name__ == "__main__":
    write(Path(sys.argv[1]), build())
