"""One step of every method against the same step in float64 on the CPU.

Both begin with the same weights and memory, on the same rows, with the same draws, which come from the CPU on any
device. What is compared: each term of the loss, the gradient on all that learns, what the method notes, and what it
remembers. On the CPU this measures what float32 and bf16 cost; a GPU must not lose more than the same tolerances.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor

from kdcore.device import onto
from kdcore.engine.setup import Setup
from kdcore.engine.step import Kept, learn
from kdcore.nn.optim import Rule
from kdcore.spec.schedule import Schedule
from tests.gpu.lines import Clock, Line, within
from tests.gpu.place import BATCH, STEPS, Place

AT = STEPS // 4  # the step that is done: warm-ups are under way, and what begins at the first step has begun
FLOAT32 = 5e-4
FLOAT32_WHY = "a rounding is 6e-8, and a step adds some ten thousand products, whose order a device chooses"
BF16 = 0.25
BF16_WHY = "a rounding of bf16 is 4e-3, once a layer in both networks; a gradient holds the differences of both"
RULES = ("sgd", "adam", "adamw")


class Found(NamedTuple):
    """What one step gave, in float64 on the CPU."""

    terms: Tensor  # (T,)
    gradient: Tensor  # (P,)
    notes: Tensor  # (N,)
    memory: Tensor  # (M,) all buffers


def exact(setup: Setup) -> None:
    """Put all that a step touches into float64."""
    nets = [one.ask for one in (setup.answers, *setup.mentors) if one is not None]
    for module in (setup.modules, setup.teacher, *nets):
        if isinstance(module, torch.nn.Module):
            module.double()
    setup.scale.scale, setup.scale.shift = setup.scale.scale.double(), setup.scale.shift.double()
    setup.rule = Rule(setup.spec.schedule, setup.rule.weights)
    for one in (setup.answers, *setup.mentors):
        if one is not None:
            one.kept = None


def drawn_by(draw: Callable[..., Tensor], double: bool) -> Callable[..., Tensor]:
    """Random numbers as the CPU draws them in float32, whoever wants them and as what."""

    def drawn(*size: Any, device: Any = None, dtype: Any = None, generator: Any = None) -> Tensor:
        values = draw(*size, generator=generator, dtype=dtype or torch.float32)
        values = onto(values, torch.device(device or "cpu"))
        return values.double() if double else values

    return drawn


class _OnHost(torch.Generator):
    """A generator of the CPU, whatever device is wanted."""

    def __new__(cls, *_: Any, **__: Any) -> _OnHost:
        return super().__new__(cls)


@contextmanager
def same_draws(double: bool) -> Iterator[None]:
    """Meanwhile all draws are the CPU's and what is written as float32 is float64 where that is wanted."""
    torch.manual_seed(1)
    rand = torch.rand

    def dropout(x: Tensor, p: float = 0.5, training: bool = True, *_: bool) -> Tensor:
        stay = onto(rand(x.shape, dtype=torch.float32) >= p, x.device)
        return x * stay / (1 - p) if training else x

    with ExitStack() as patches:
        for name in ("rand", "randn"):
            patches.enter_context(patch.object(torch, name, drawn_by(getattr(torch, name), double)))
        patches.enter_context(patch.object(torch, "Generator", _OnHost))
        patches.enter_context(patch.object(F, "dropout", dropout))
        if double:
            patches.enter_context(patch.object(Tensor, "float", Tensor.double))
            torch.set_default_dtype(torch.float64)
        try:
            yield
        finally:
            torch.set_default_dtype(torch.float32)


def done(setup: Setup, double: bool = False) -> Found:
    """One step."""
    rows = setup.learned[torch.randperm(len(setup.learned), generator=torch.Generator().manual_seed(5))[:BATCH]]
    with same_draws(double):
        kept = learn(setup, setup.batch(rows, AT), rate=0.01)
    return _found(setup, kept)


def _found(setup: Setup, kept: Kept) -> Found:
    weights = [weight for weight in setup.modules.parameters() if weight.grad is not None]
    buffers = [buffer for buffer in setup.modules.buffers() if buffer.is_floating_point()]
    return Found(
        _flat([term.weight * term.value for term in kept.terms.values()]),
        _flat([weight.grad for weight in weights if weight.grad is not None]),
        _flat(list(kept.metrics.values())),
        _flat(buffers),
    )


def _flat(parts: list[Tensor]) -> Tensor:
    """All values (P,) in float64 on the CPU; infinite ones, with which some memories begin, as they are."""
    return torch.cat([part.detach().double().cpu().flatten() for part in parts]) if parts else torch.zeros(0)


def apart(found: Tensor, exact: Tensor) -> float:
    """How far two vectors are apart, as a share of the length of the second; infinite where they differ in size."""
    if found.shape != exact.shape:
        return float("inf")
    same = found == exact  # infinities too
    gap = torch.where(same, torch.zeros_like(exact), found - exact)
    length = float(torch.where(exact.isfinite(), exact, torch.zeros_like(exact)).norm())
    return float(gap.norm()) / max(length, 1e-6)


def distances(place: Place, method: str, precision: str, reference: Found) -> dict[str, float]:
    """How far a step on the place's device is from `reference`."""
    setup = place.parts(place.spec(method, precision=precision))
    setup.modules.load_state_dict(_begun(place, method))
    found = done(setup)
    return {name: apart(ours, theirs) for name, ours, theirs in zip(Found._fields, found, reference, strict=True)}


def _begun(place: Place, method: str) -> dict[str, Tensor]:
    """Weights and memory before the step, as the CPU makes them."""
    home = place._replace(device="cpu")
    return dict(home.parts(home.spec(method)).modules.state_dict())


def reference(place: Place, method: str) -> Found:
    """The step in float64 on the CPU."""
    home = place._replace(device="cpu")
    setup = home.parts(home.spec(method))
    exact(setup)
    return done(setup, double=True)


def step_of(place: Place, method: str) -> Line:
    """Both precisions of one method."""
    told = reference(place, method)
    if not float(told.gradient.norm()) > 0:
        return Line("FAILED", f"step of {method}", "its gradient is zero, so nothing would be compared")
    with precise():
        float32 = max(distances(place, method, "float32", told).values())
        bf16 = distances(place, method, "bf16", told)["gradient"]
    most = {"float32": FLOAT32, "bf16": BF16}
    return within(f"step of {method} against float64", {"float32": float32, "bf16": bf16}, most)


@contextmanager
def precise() -> Iterator[None]:
    """No TF32 meanwhile: convolutions in float32 use it unless told otherwise, and it rounds to 10 bits."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def rule_of(place: Place, optimizer: str) -> Line:
    """Five updates of one optimiser against torch's own in float64 on the CPU."""
    torch.manual_seed(2)
    start, gradients = torch.randn(500), torch.randn(5, 500)
    schedule = Schedule(optimizer=optimizer, lr=0.1, momentum=0.9, weight_decay=1e-2)
    ours = torch.nn.Parameter(start.clone().to(place.device))
    theirs = torch.nn.Parameter(start.double())
    known = {
        "sgd": lambda: torch.optim.SGD([theirs], 0.1, momentum=0.9, weight_decay=1e-2, nesterov=schedule.nesterov),
        "adam": lambda: torch.optim.Adam([theirs], 0.1, betas=(0.9, 0.999), weight_decay=1e-2),
        "adamw": lambda: torch.optim.AdamW([theirs], 0.1, betas=(0.9, 0.999), weight_decay=1e-2),
    }[optimizer]()
    rule = Rule(schedule, [ours])
    for place_of, gradient in enumerate(gradients):
        rate = 0.1 / (1 + place_of)
        known.param_groups[0]["lr"] = rate
        ours.grad, theirs.grad = gradient.clone().to(ours.device), gradient.double()
        rule.step(rate)
        known.step()
    found = {"weights": apart(_flat([ours]), _flat([theirs]))}
    return within(f"five updates of {optimizer} against torch in float64", found, {"weights": 1e-5})


def lines(place: Place, clock: Clock, methods: Sequence[str]) -> Iterator[Line]:
    """The step of each method, and each optimiser."""
    yield from clock.each("optimiser", RULES, lambda name: rule_of(place, name))
    yield from clock.each("step of", methods, lambda name: step_of(place, name))
