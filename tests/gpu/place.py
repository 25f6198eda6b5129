"""Small runs of everything: random pixels in place of digits, a network as it is before its first step as a teacher."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import torch

from kdcore.contracts.access import GRANTS, Access
from kdcore.contracts.control import Desk
from kdcore.contracts.data import Data, Dataset, Split, silent
from kdcore.engine import build as parts_room
from kdcore.engine.build import network
from kdcore.engine.checkpoint import save_tensors
from kdcore.engine.setup import Setup
from kdcore.engine.train import train
from kdcore.events import Event
from kdcore.generation.source import Maker
from kdcore.spec.lineage import lineage
from kdcore.spec.registry import DATA, METHODS, SOURCES
from kdcore.spec.schedule import Schedule
from kdcore.spec.spec import Choice, Spec, Watch, parse

STEPS, BATCH = 8, 32
SHAPE, CLASSES = (1, 8, 8), 10
WATCH = Watch(points=4, evaluations=1, frames=2, checkpoints=4)
SCHEDULE = Schedule(steps=STEPS, batch=BATCH, lr=0.05)
DIGITS = Choice(name="digits")
MAKERS = [name for name in SOURCES if issubclass(SOURCES[name], Maker)]
TINY = {"latent": 6, "width": 8, "updates": 3, "made": 12, "pool": 20, "every": 4, "retain": 0.25, "compete": 1.0}
OWN: dict[str, dict[str, Any]] = {"mekd": {"steps": 5, "real": 8}, "dfhl_rs": {"climbs": 2}}


class _Pixels(Data):
    """Random pixels of the digits' shape: the digits themselves come with scikit-learn."""

    def signature(self) -> tuple[tuple[int, ...], int]:
        return SHAPE, CLASSES

    def load(self, folder: Path, report: Any = None) -> Dataset:
        rng = np.random.default_rng(0)

        def split(rows: int) -> Split:
            return Split(rng.integers(0, 256, (rows, *SHAPE), dtype=np.uint8), np.arange(rows) % CLASSES)

        train_split = split(256)
        names = tuple(map(str, range(CLASSES)))
        return Dataset(train_split, split(64), split(64), names, (0.5,), (0.25,), train_split.y)


class _WithPixels(dict[str, Any]):
    """All data sets, the digits replaced."""

    def __missing__(self, name: str) -> Any:
        return (lambda **_: _Pixels()) if name == DIGITS.name else DATA[name]


@contextmanager
def pixels_for_digits() -> Iterator[None]:
    """Meanwhile the digits are random pixels; nothing of them is left afterwards."""
    with patch.multiple(parts_room, DATA=_WithPixels(), _LOADED={}, _SAID={}):
        yield


class Place(NamedTuple):
    """Where small runs live, and on which device."""

    folder: Path
    device: str

    def spec(self, method: str = "kd", source: str = "data", **schedule: Any) -> Spec:
        """A small run of a method, with the teachers it wants, or of a source that makes its images."""
        common = {"data": DIGITS, "watch": WATCH, "device": self.device}
        common |= {"schedule": SCHEDULE.model_copy(update=schedule)}
        teacher = Spec(student=Choice(name="cnn", knobs={"width": 8}), method=Choice(name="ce"), **common)
        if source == "data" and "inverse" in METHODS[method].asks:
            source = "mekd"
        student = Choice(name="cnn", knobs={"width": 4})
        chosen, shown = Choice(name=method), Choice(name=source, knobs=knobs_of(source))
        needs = METHODS[method].needs | getattr(SOURCES[source], "needs", frozenset())
        taught = {"teacher": teacher, "access": access_for(needs)} if needs else {}
        return lineage(Spec(student=student, method=chosen, source=shown, **taught, **common))

    def weights(self, spec: Spec) -> Path:
        """Those of a network before its first step, which teach as well as others where bits are compared."""
        return _fresh(self.folder, spec.model_dump_json())

    def given(self, spec: Spec) -> dict[str, Any]:
        """The weights that a run of `spec` is handed."""
        return {
            "teacher_weights": self.weights(spec.teacher) if spec.teacher else None,
            "mentor_weights": [self.weights(mentor) for mentor in spec.mentors],
        }

    def run(self, spec: Spec, name: str, desk: Desk | None = None) -> Iterator[Event]:
        """The story of a run in the folder `name`."""
        return train(spec, self.folder / name, **self.given(spec), desk=desk, data_folder=self.folder)

    def parts(self, spec: Spec) -> Setup:
        """What a run of `spec` is made of, before its first step."""
        given = self.given(spec)
        return Setup(spec, self.folder, given["teacher_weights"], silent, given["mentor_weights"], self.folder)


def knobs_of(source: str) -> dict[str, Any]:
    """Those that make a source small."""
    if source not in MAKERS:
        return {}
    return {knob: value for knob, value in TINY.items() if knob in SOURCES[source].model_fields} | OWN.get(source, {})


def access_for(needs: frozenset[Any]) -> Access:
    """The narrowest grade that grants what is needed."""
    return next(access for access in ("labels", "probabilities", "logits", "white_box") if needs <= GRANTS[access])


@cache
def _fresh(folder: Path, spec: str) -> Path:
    asked = parse(spec)
    torch.manual_seed(asked.seed)
    path = folder / f"{asked.hash}.safetensors"
    save_tensors(path, dict(network(asked, SHAPE, CLASSES).state_dict()), {})
    return path
