"""A step of the engine beside the shortest loop and beside torchdistill, plain and as a CUDA graph.

Both sides run in turn in one process. The hand-written loops run as anybody's would, without deterministic operations.
"""

from __future__ import annotations

import importlib.util
import os
import statistics
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from kdcore.device import steady
from kdcore.engine.setup import Setup
from kdcore.spec.schedule import Schedule
from kdcore.spec.spec import Spec
from tests.bench import blackbox
from tests.bench import engine as bench
from tests.gpu.lines import Clock, Line

WANTED = 3.0  # times the bare loop, for the networks that are so small that launching their kernels is what they cost
LONG = {"LeNet": (600, 64), "ResNet32x4 to ResNet8x4": (60, 64)}  # steps and batch on CUDA
SHORT = {"LeNet": (4, 8)}  # elsewhere, only to see that it runs
TASKS = {
    "LeNet": "28 px digits, LeNet",
    "ResNet32x4 to ResNet8x4": "CIFAR-100 shapes, ResNet32x4 to ResNet8x4",
}


@contextmanager
def loose() -> Iterator[None]:
    """Operations as torch chooses them by itself."""
    torch.set_deterministic_debug_mode("default")
    torch.backends.cudnn.deterministic = False
    try:
        yield
    finally:
        steady(torch.device("cuda" if torch.cuda.is_available() else "cpu"))


def loosely(run: Callable[[], float]) -> float:
    with loose():
        return run()


def graphed(run: Callable[[], float]) -> float:
    with patch.dict(os.environ, KDLAB_GRAPHS="1"):
        return run()


def ratio(base: Callable[[], float], ours: Callable[[], float], rounds: int) -> tuple[float, str]:
    """How often our seconds go into those of the other side: the median, and the range."""
    if rounds > 1:
        base(), ours()
    found = sorted(base() / ours() for _ in range(rounds))
    return statistics.median(found), f"{statistics.median(found):.2f} times ({found[0]:.2f} to {found[-1]:.2f})"


def figure(what: str, gpu: bool, base: Callable[[], float], ours: Callable[[], float], least: float = 0.0) -> Line:
    """A ratio on CUDA, held to `least` where there is one; elsewhere it only shows that both sides run."""
    value, told = ratio(base, ours, rounds=5 if gpu else 1)
    if not gpu:
        return Line("skipped", what, f"wants CUDA; here both sides ran, {told}")
    asked = f"at least {least:g}" if least else ""
    return Line("held" if value >= least else "FAILED", what, told, asked)


def task(name: str, device: str) -> Spec:
    """A run of KD, long enough to be timed where there is a GPU."""
    steps, batch = (LONG if device == "cuda" else SHORT)[name]
    spec = bench.TASKS[TASKS[name]]
    if device != "cuda":
        spec = _few(spec)
    schedule = Schedule(steps=steps, batch=batch)
    teacher = spec.teacher and spec.teacher.model_copy(update={"device": device})
    return spec.model_copy(update={"schedule": schedule, "device": device, "teacher": teacher})


def _few(spec: Spec) -> Spec:
    """The same on few images, teacher included, as drawing them takes longer than the steps."""
    teacher = spec.teacher and _few(spec.teacher)
    return spec.model_copy(update={"data": bench.choice("rendered", samples=300), "teacher": teacher})


def sides(name: str, device: str, folder: Path) -> tuple[Setup, Callable[[], float], Callable[[], float]]:
    """A run's parts, the shortest loop, and the engine."""
    spec = task(name, device)
    weights = bench.teacher_weights(spec, folder)
    parts = Setup(spec, folder, weights, lambda *_: None)
    base = partial(bench.hand_written, spec, parts.data, parts.device)
    return parts, partial(loosely, base), partial(bench.engine, spec, weights)


def beside_the_bare_loop(name: str, device: str, captured: bool) -> Line:
    """The same work, the teacher asked at every step; or captured, and as shipped."""
    gpu = device == "cuda"
    with tempfile.TemporaryDirectory() as folder, bench.noise_for_cifar():
        _, base, ours = sides(name, device, Path(folder))
        if captured:
            least = WANTED if name == "LeNet" else 0.0
            return figure(f"speed of {name}, captured, beside a bare loop", gpu, base, partial(graphed, ours), least)
        with bench.no_answers_kept():
            return figure(f"speed of {name} beside a bare loop, same work", gpu, base, ours)


def of_mekd(what: str, device: str) -> Line:
    """A step of MEKD's generator, or of the student after it, behind a wall."""
    sides_of = {
        "generator": (blackbox.bare_lead, blackbox.engine_lead),
        "student": (blackbox.bare_student, blackbox.engine_student),
    }
    base, ours = sides_of[what]
    with tempfile.TemporaryDirectory() as folder:
        spec = blackbox.run(bench.choice("rendered", samples=400)).model_copy(update={"device": device})
        weights = bench.teacher_weights(spec, Path(folder) / "teacher")
        told = partial(loosely, partial(base, spec, weights)), partial(ours, spec, weights)
        return figure(f"speed of MEKD's {what} beside a bare loop", device == "cuda", *told)


def beside_torchdistill(device: str) -> Line:
    """KD of a small CNN under one four times as wide."""
    what = "speed of KD beside torchdistill"
    if importlib.util.find_spec("torchdistill") is None:
        return Line("skipped", what, "torchdistill is not installed")
    from tests.bench import torchdistill

    kd = torchdistill.TASKS[0]
    with tempfile.TemporaryDirectory() as folder, bench.noise_for_cifar():
        spec = kd.spec.model_copy(update={"device": device})
        weights = bench.teacher_weights(spec, Path(folder))
        parts = Setup(spec, Path(folder), weights, lambda *_: None)
        base = partial(torchdistill.theirs, parts, kd.config(parts))
        return figure(what, device == "cuda", partial(loosely, base), partial(bench.engine, spec, weights))


def lines(device: str, clock: Clock) -> Iterator[Line]:
    """All of them, the smallest networks first."""
    looks: dict[str, Any] = {}
    for name in LONG if device == "cuda" else SHORT:
        looks |= {name: partial(beside_the_bare_loop, name, device, False)}
        looks |= {f"{name}, captured": partial(beside_the_bare_loop, name, device, True)}
    looks |= {f"MEKD's {part}": partial(of_mekd, part, device) for part in ("generator", "student")}
    looks |= {"KD beside torchdistill": partial(beside_torchdistill, device)}
    yield from clock.each("speed of", looks, lambda name: looks[name]())
