"""Same seed, same bits: a run told twice, watched and unwatched, stopped and resumed or not, captured or not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import torch
from safetensors.torch import load_file
from torch import Tensor

from kdcore.contracts.control import Audience, Desk
from kdcore.engine import control
from kdcore.events import Checkpoint, Event, Finished
from kdcore.spec.spec import Spec
from tests.gpu.lines import Clock, Line
from tests.gpu.place import MAKERS, Place

CUT = 2  # checkpoints before a run is stopped


class Told(NamedTuple):
    """What a run told and left."""

    story: list[Event]
    weights: dict[str, Tensor]


class Eager(Desk):
    """Somebody who looks as often as possible."""

    def __init__(self) -> None:
        self.frames = 0

    def audience(self) -> Audience:
        return Audience(frames_hz=1e9)

    def show(self, channel: Any, arrays: dict[str, Any]) -> None:
        self.frames += 1


@contextmanager
def without_rest() -> Iterator[None]:
    """Looking may take any share of the time."""
    with patch.object(control, "LOOK_S", 0.0), patch.object(control, "FRAME_SHARE", 1e9):
        yield


def told(place: Place, spec: Spec, name: str, desk: Desk | None = None) -> Told:
    """A whole run."""
    return _left(place.folder / name, list(place.run(spec, name, desk)))


def _left(folder: Path, story: list[Event]) -> Told:
    weights = {file.stem: load_file(file) for file in sorted(folder.glob("*.safetensors"))}
    return Told(story, {f"{file}.{name}": tensor for file in weights for name, tensor in weights[file].items()})


def watched(place: Place, spec: Spec, name: str) -> Told:
    """A whole run that is looked at before every step."""
    desk = Eager()
    with without_rest():
        found = told(place, spec, name, desk)
    assert desk.frames >= spec.schedule.steps, "nobody looked, so nothing is compared"
    return found


def resumed(place: Place, spec: Spec, name: str) -> Told:
    """A run that is broken off at a checkpoint and goes on; chance elsewhere in the process has gone on meanwhile."""
    begun: list[Event] = []
    run = place.run(spec, name)
    for event in run:
        begun.append(event)
        if sum(isinstance(one, Checkpoint) for one in begun) == CUT:
            break
    run.close()
    torch.rand(3, device=place.device)
    rest = list(place.run(spec, name))
    assert 0 < rest[0].step == begun[-1].step < rest[-1].step, "it was not broken off in the middle"
    return _left(place.folder / name, begun + rest[1:])


def differs(one: Told, other: Told) -> str:
    """In what two runs differ; "" where they are the same bits."""
    if one.weights.keys() != other.weights.keys():
        return "the files of weights"
    unlike = [name for name in one.weights if not torch.equal(one.weights[name], other.weights[name])]
    if unlike:
        return f"{len(unlike)} of {len(one.weights)} tensors, {unlike[0]} first"
    return "" if one.story == other.story else "the story"


def same_bits(place: Place, what: str, spec: Spec) -> Line:
    """One run in all these ways."""
    first = told(place, spec, f"{what} once")
    ways = {"again": told, "watched": watched, "resumed": resumed}
    unlike = {name: differs(first, way(place, spec, f"{what} {name}")) for name, way in ways.items()}
    found = "; ".join(f"{name} in {difference}" for name, difference in unlike.items() if difference)
    if not found:
        return Line("held", f"same bits of {what}", "again, watched and resumed")
    ended = first.story[-1]
    lacking = ended.unsteady if isinstance(ended, Finished) else ()
    if lacking and unlike["again"]:  # another run differs anyway, and this one says so
        return Line("held", f"same bits of {what}", f"not the same, and the run says why: {', '.join(lacking)}")
    return Line("FAILED", f"same bits of {what}", f"differs {found}")


def lines(place: Place, clock: Clock, methods: Sequence[str], makers: Sequence[str] = MAKERS) -> Iterator[Line]:
    """Each method on pixels, each source that makes its images, and one run in bf16."""
    runs = {name: place.spec(name) for name in methods}
    runs |= {f"source {name}": place.spec("hard_label", name) for name in makers}
    runs |= {"bf16 and Adam": place.spec("kd", precision="bf16", optimizer="adam")}
    yield from clock.each("same bits of", runs, lambda name: same_bits(place, name, runs[name]))
