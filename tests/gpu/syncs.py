"""Within a step the host never waits for the device: tried on a device without values, and on CUDA with its sync debug
mode, for every method and every source that makes its images."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator
from itertools import islice

import torch

from kdcore.engine.setup import Setup
from kdcore.engine.step import learn
from kdcore.spec.registry import METHODS
from tests.gpu.dry import dry
from tests.gpu.lines import Clock, Line
from tests.gpu.place import MAKERS, Place

WARM, SEEN = 2, 3  # steps
OURS = "/torchvision/"  # its RandAugment moves its matrices to the device by itself


def synced(setup: Setup, what: str) -> Line:
    """Some steps in CUDA's sync debug mode, after others in which libraries begin."""
    found: Counter[str] = Counter()
    rows = enumerate(islice(setup.indices(0), WARM + SEEN))
    for step, index in rows:
        mode = "warn" if step >= WARM else "default"
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode(mode)
            try:
                if step < setup.lead:
                    setup.source.learn(setup.making, setup.scene, step)  # type: ignore[attr-defined]
                learn(setup, setup.batch(index, step), rate=0.01)
            finally:
                torch.cuda.set_sync_debug_mode("default")
        found.update(f"{one.filename}:{one.lineno}" for one in caught if "called a synchronizing" in str(one.message))
    ours = [place for place in found if OURS not in place]
    theirs = sum(found.values()) - sum(found[place] for place in ours)
    if ours:
        return Line("FAILED", what, f"{found[ours[0]]} waits in {SEEN} steps at {ours[0]}, {len(ours)} places in all")
    beside = f", beside {theirs} within torchvision's augmentation" if theirs else ""
    return Line("held", what, f"none in {SEEN} steps{beside}", "CUDA's sync debug mode")


def lines(place: Place, clock: Clock, names: list[str] | None = None) -> Iterator[Line]:
    """Each method, and each source."""
    every = {name: place.spec(name) for name in METHODS}
    every |= {f"source {name}": place.spec("hard_label", name) for name in MAKERS}
    chosen = names or list(every)
    what = "waits of the host in a step of"
    home, here = place._replace(device="cpu"), {"device": "cpu"}
    yield from clock.each(
        what, chosen, lambda name: dry(home.parts(every[name].model_copy(update=here)), f"{what} {name}")
    )
    if place.device != "cuda":
        yield Line("skipped", "waits of the host as CUDA sees them", "wants CUDA")
        return
    seen = "CUDA's waits in a step of"
    yield from clock.each(seen, chosen, lambda name: synced(place.parts(every[name]), f"{seen} {name}"))
