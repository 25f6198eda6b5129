"""A captured step against a plain one, bit for bit, for every method; of those that stay plain the reason is told.

On CUDA steps are captured as graphs. Elsewhere a tape of operations stands in for the graph: it shows whether a step is
one that can be repeated without Python, and nothing of CUDA.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from kdcore.engine import train
from kdcore.engine.cuda_graph import WARM, Graphs, Recorder, Stepper
from kdcore.engine.setup import Setup
from kdcore.engine.step import Kept
from kdcore.nn.optim import learning_rate
from kdcore.spec.registry import METHODS
from kdcore.spec.spec import Choice, Spec
from tests.gpu import bits
from tests.gpu.lines import Clock, Line
from tests.gpu.place import MAKERS, STEPS, Place
from tests.gpu.tape import Tape

LONG = 16  # steps of a whole run, so that what is resumed in its middle is captured again
MORE: dict[str, dict[str, Any]] = {  # runs of KD that differ in what a graph must not freeze
    "adam": {"optimizer": "adam"},
    "adamw": {"optimizer": "adamw"},
    "bf16": {"precision": "bf16"},
    "nesterov": {"nesterov": True},
}


def recorder(setup: Setup) -> Recorder:
    """CUDA's graphs, or the tape."""
    return Graphs() if setup.device.type == "cuda" else Tape()


def stepper_for(setup: Setup, captured: bool) -> Stepper:
    """What does the steps of a run, captured or not."""
    setup.rule.felt = torch.zeros((), device=setup.device)  # a CPU's kernels have the rate as a number otherwise
    return Stepper(setup, recorder(setup) if captured else None)


def steps(place: Place, spec: Spec, captured: bool) -> tuple[list[Kept], dict[str, Tensor], Stepper]:
    """All steps of a run: what each left, the weights and memory in the end, and what did them."""
    setup = place.parts(spec)
    stepper = stepper_for(setup, captured)
    rows = setup.indices(0)
    for done in range(setup.lead):
        setup.source.learn(setup.making, setup.scene, done)  # type: ignore[attr-defined]
    kept = [stepper.step(next(rows), step, learning_rate(spec.schedule, step)) for step in range(STEPS)]
    return kept, dict(setup.modules.state_dict()), stepper


def values(kept: Kept) -> list[Tensor]:
    """All that one step left."""
    return [*(term.value for term in kept.terms.values()), kept.logits, kept.labels, *kept.metrics.values()]


def captured(place: Place, what: str, spec: Spec) -> Line:
    """One run both ways."""
    what = f"captured step of {what}"
    (plain, weights, _), (found, others, stepper) = (steps(place, spec, way) for way in (False, True))
    unlike = [name for name in weights if not torch.equal(weights[name], others[name])]
    left = [
        step
        for step, (one, other) in enumerate(zip(plain, found, strict=True))
        if not all(torch.equal(a, b) for a, b in zip(values(one), values(other), strict=True))
    ]
    if unlike or left:
        return Line("FAILED", what, f"{len(unlike)} of {len(weights)} tensors differ, and what step {left[:1]} left")
    if stepper.refused:
        return Line("held", what, f"stays plain: {stepper.refused}")
    assert stepper.again is not None
    how = "CUDA graph" if stepper.setup.device.type == "cuda" else "tape in place of a graph"
    return Line("held", what, f"the bits of a plain one, {STEPS - WARM - 1} times repeated by a {how}")


def whole(place: Place, what: str) -> Line:
    """A whole run whose steps are captured: again, watched and resumed, and against one whose steps are not."""
    spec = place.spec("kd", steps=LONG)
    with patch.object(train, "Stepper", lambda setup, _: stepper_for(setup, False)):
        plain = bits.told(place, spec, f"{what} plain")
    with patch.object(train, "Stepper", lambda setup, _: stepper_for(setup, True)):
        line = bits.same_bits(place, what, spec)
        unlike = bits.differs(plain, bits.told(place, spec, f"{what} captured"))
    return line if not unlike else Line("FAILED", line.what, f"differs from one whose steps are plain in {unlike}")


def specs(place: Place) -> dict[str, Spec]:
    """Every method, every source that makes its images, and what else a graph must not freeze."""
    found = {name: place.spec(name) for name in METHODS}
    found |= {f"source {name}": place.spec("hard_label", name) for name in MAKERS}
    found |= {f"kd with {name}": place.spec("kd", **changes) for name, changes in MORE.items()}
    shifted = Choice(name="data", knobs={"augment": "shift"})
    return found | {"kd on shifted images": place.spec().model_copy(update={"source": shifted})}


def lines(place: Place, clock: Clock, names: list[str] | None = None) -> Iterator[Line]:
    """All of them."""
    logging.getLogger("kdcore.engine.cuda_graph").setLevel(logging.ERROR)  # each line says it
    every = specs(place)
    yield from clock.each("same bits of", ["a captured run"], lambda name: whole(place, name))
    chosen = names or list(every)
    yield from clock.each("captured step of", chosen, lambda name: captured(place, name, every[name]))
