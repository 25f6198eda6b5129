"""What a run held comes back: after a cancel, after an error, after its end."""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Iterator
from typing import Any

import torch

from kdcore.contracts.control import Command, Desk
from kdcore.device import give_back
from kdcore.engine.setup import Setup
from tests.gpu.bits import without_rest
from tests.gpu.lines import Clock, Line
from tests.gpu.place import Place

LEFT_BYTES = 1 << 20  # logits of a teacher that the next student asks about, and the like
ENDS = {"its end": "finished", "a cancel": "stopped", "an error": "no memory left"}


class Broken(RuntimeError):
    """As what torch raises where memory runs out."""


class Ending(Desk):
    """Ends a run at its third look."""

    def __init__(self, way: str) -> None:
        self.way, self.looks = way, 0

    def commands(self) -> list[Any]:
        self.looks += 1
        if self.looks < 3 or self.way == "its end":
            return []
        if self.way == "an error":
            raise Broken(ENDS[self.way])
        return [Command("cancel")]


def run(place: Place, way: str) -> str:
    """Begin a run that ends in some way, as a worker does; what it ended with."""
    folder = tempfile.mkdtemp(dir=place.folder)  # where another run stood, this one would go on
    story = place.run(place.spec("crd"), folder, Ending(way))
    try:
        with without_rest():
            return "finished" if [event.kind for event in story][-1] == "finished" else "stopped"
    except Broken as error:
        return str(error)
    finally:
        story.close()


def held() -> tuple[int, int, int]:
    """Bytes in use on the GPU, bytes reserved there, and runs whose parts still live."""
    runs = sum(type(one) is Setup for one in gc.get_objects())
    if not torch.cuda.is_initialized():
        return 0, 0, runs
    return torch.cuda.memory_allocated(), torch.cuda.memory_reserved(), runs


def returned(place: Place, way: str) -> Line:
    """What is left after a run, beside what was there before it."""
    run(place, way)  # what libraries keep for good is kept by now
    settle(place)
    before = held()
    ended = run(place, way)
    settle(place)
    bytes_in_use, reserved, runs = (now - then for now, then in zip(held(), before, strict=True))
    assert ended == ENDS[way], f"it ended with {ended!r}"
    right = bytes_in_use <= LEFT_BYTES and reserved <= LEFT_BYTES and runs <= 0
    asked = f"no run, and at most {LEFT_BYTES >> 20} MiB" if place.device == "cuda" else "no run; no GPU's memory here"
    figure = f"{runs} runs, {bytes_in_use:,} bytes in use and {reserved:,} reserved are left"
    return Line("held" if right else "FAILED", f"memory after {way}", figure, asked)


def settle(place: Place) -> None:
    """As a worker does between two runs; without a GPU that does nothing, so Python must look for rings itself."""
    give_back() if place.device == "cuda" else gc.collect()


def lines(place: Place, clock: Clock) -> Iterator[Line]:
    """Each end of a run."""
    yield from clock.each("memory after", ENDS, lambda way: returned(place, way))
