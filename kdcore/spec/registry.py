"""Finds things by their files: a registered name is a file's name, and its class is the one defined there.

Listing names imports nothing, so a process without torch may ask what exists. `METHODS["dkd"]` imports
`kdcore/methods/dkd.py` and returns its one subclass of the registry's base.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Generic, TypeVar

from kdcore.contracts.data import Data
from kdcore.contracts.method import Method
from kdcore.contracts.model import Model
from kdcore.contracts.service import Service
from kdcore.contracts.source import Source
from kdcore.errors import unknown

T = TypeVar("T", bound=type)
ROOT = Path(__file__).parents[1]


class Registry(Mapping[str, T], Generic[T]):
    """The things of one kind, by name, in alphabetical order.

    Raises:
        BadInput: on a name that has no file, with the nearest name that has one.
    """

    def __init__(self, kind: str, folder: str, base: T) -> None:
        self.kind, self.folder, self.base = kind, folder, base

    def __iter__(self) -> Iterator[str]:
        files = (ROOT / self.folder).glob("[!_]*.py")
        return iter(sorted(path.stem for path in files))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        return name in set(self)

    def __getitem__(self, name: str) -> T:
        if name not in self:
            raise unknown(self.kind, name, self)
        module = import_module(f"kdcore.{self.folder}.{name}")
        own = [
            thing
            for thing in vars(module).values()
            if isinstance(thing, type) and issubclass(thing, self.base) and thing.__module__ == module.__name__
        ]
        public = [thing for thing in own if not thing.__name__.startswith("_")]
        if len(public) != 1:
            raise TypeError(
                f"{module.__file__} must define exactly one public {self.base.__name__}, found {len(public)}"
            )
        return public[0]  # type: ignore[return-value]


METHODS: Registry[type[Method]] = Registry("method", "methods", Method)
MODELS: Registry[type[Model]] = Registry("model", "models", Model)
DATA: Registry[type[Data]] = Registry("data set", "data", Data)
SOURCES: Registry[type[Source]] = Registry("source", "sources", Source)
TEACHERS: Registry[type[Service]] = Registry("teacher", "teachers", Service)
REGISTRIES: dict[str, Registry[type]] = {  # by the name of the Spec's field
    "method": METHODS,
    "model": MODELS,
    "data": DATA,
    "source": SOURCES,
    "teacher": TEACHERS,
}
