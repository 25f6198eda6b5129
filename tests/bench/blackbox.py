"""MEKD's two steps beside bare loops that do the same work: a step of the generator, and one of the student.

The bare loops ask the teacher's network themselves. The engine asks through a wall, which packs, counts and keeps on
disk every answer, so the ratio holds what that costs.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from kdcore.engine import setup as setup_room
from kdcore.generation.networks import Discriminator, Generator
from kdcore.spec.schedule import Schedule
from kdcore.spec.spec import Spec, Wall
from tests.bench.engine import LITTLE, Row, choice, ratio, synchronise, teacher_weights

LEAD, STEPS, BATCH, WIDTH = 30, 30, 64, 32
Part = Callable[[], float]


def run(data: Any) -> Spec:
    """A run of MEKD on images of `data`."""
    common: dict[str, Any] = {"data": data, "schedule": Schedule(steps=STEPS, batch=BATCH), "watch": LITTLE}
    teacher = Spec(**common, student=choice("lenet", variant="full"), method=choice("ce"))
    source = choice("mekd", steps=LEAD, real=BATCH, width=WIDTH, nets="usual")
    return Spec(
        **common, student=choice("lenet", variant="half"), method=choice("mekd"), source=source, teacher=teacher,
        access="probabilities", wall=Wall(),
    )  # fmt: skip


def fresh(spec: Spec, weights: Path) -> setup_room.Setup:
    """The run's parts, with a folder for answers of its own."""
    return setup_room.Setup(spec, Path(), weights, lambda *_: None, folder=Path(tempfile.mkdtemp(dir=weights.parent)))


def engine_lead(spec: Spec, weights: Path) -> float:
    """Seconds of the generator's steps through the source and the wall."""
    parts = fresh(spec, weights)
    began = time.perf_counter()
    for step in range(LEAD):
        parts.source.learn(parts.making, parts.scene, step)  # type: ignore[attr-defined]
    synchronise(parts.device)
    return time.perf_counter() - began


def engine_student(spec: Spec, weights: Path) -> float:
    """Seconds of the student's steps through source, wall and method."""
    parts = fresh(spec, weights)
    rows = parts.indices(0)
    began = time.perf_counter()
    for step in range(STEPS):
        terms = parts.method.terms(parts.batch(next(rows), step), parts.state)
        parts.rule.forget_gradients()
        sum(term.weight * term.value for term in terms.values()).backward()  # type: ignore[union-attr]
        parts.rule.step(0.01)
    synchronise(parts.device)
    return time.perf_counter() - began


def bare_lead(spec: Spec, weights: Path) -> float:
    """The same in the shortest loop."""
    parts = fresh(spec, weights)
    nets = Generator(10, parts.shape, WIDTH, False), Discriminator(parts.shape, False)
    generator, discriminator = (net.to(parts.device) for net in nets)
    rules = [torch.optim.Adam(net.parameters(), 5e-4, (0.5, 0.999)) for net in (generator, discriminator)]
    began = time.perf_counter()
    for _ in range(LEAD):
        real = parts.x[torch.randint(len(parts.x), (BATCH,), device=parts.device)].float() / 127.5 - 1
        with torch.no_grad():
            made = generator(torch.randn(BATCH, 10, device=parts.device))
        loss = F.softplus(-discriminator(real)).mean() + F.softplus(discriminator(made)).mean()
        rules[1].zero_grad()
        loss.backward()
        rules[1].step()
        made = generator(torch.randn(BATCH, 10, device=parts.device))
        seeming = F.softplus(-discriminator(made))
        with torch.no_grad():
            sure = parts.teacher(parts.inputs(made)).logits.softmax(1).amax(1)  # type: ignore[misc]
        rules[0].zero_grad()
        (seeming.mean() + 0.5 * (sure * seeming).mean()).backward()
        rules[0].step()
    synchronise(parts.device)
    return time.perf_counter() - began


def bare_student(spec: Spec, weights: Path) -> float:
    """The same in the shortest loop."""
    parts = fresh(spec, weights)
    generator = Generator(10, parts.shape, WIDTH, False).eval().requires_grad_(False).to(parts.device)
    rule = torch.optim.SGD(parts.student.parameters(), 0.01, 0.9, weight_decay=5e-4)
    began = time.perf_counter()
    for _ in range(STEPS):
        with torch.no_grad():
            inputs = parts.inputs(generator(torch.randn(BATCH, 10, device=parts.device)))
            theirs = parts.teacher(inputs).logits  # type: ignore[misc]
            goal = generator(theirs / 5)
        ours = parts.student(inputs).logits
        kl = F.kl_div((ours / 5).log_softmax(1), (theirs / 5).softmax(1), reduction="batchmean")
        rule.zero_grad()
        ((generator(ours / 5) - goal).abs().mean() + 0.5 * 5 * kl).backward()
        rule.step()
    synchronise(parts.device)
    return time.perf_counter() - began


def rows() -> Iterator[Row]:
    """Both ratios, on 28-pixel digits."""
    torch.set_num_threads(1)
    spec = run(choice("rendered", side=28))
    with tempfile.TemporaryDirectory() as place:
        weights = teacher_weights(spec, Path(place) / "teacher")
        for name, base, ours in (
            ("MEKD, a step of the generator", bare_lead, engine_lead),
            ("MEKD, a step of the student", bare_student, engine_student),
        ):
            told: tuple[Part, Part] = partial(base, spec, weights), partial(ours, spec, weights)
            yield ratio(f"{name}: engine / hand-written, same work", 0.9, *told)
