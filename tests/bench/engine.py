"""The engine against the shortest hand-written loop that does the same work, and watched against unwatched.

Both sides of a ratio run in turn in one process, and the median of the rounds is reported, so that a machine whose
speed drifts spoils neither. The hand-written loop asks the teacher at every step; "as shipped" lets the engine keep
the teacher's answers where a row always looks the same, "same work" forbids it. A step is timed with the record kept
small (20 loss points, nothing else until the last step), for a frame costs the same however long a run is.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from kdcore.contracts.control import Audience, Desk
from kdcore.contracts.data import Data, Dataset, Split
from kdcore.engine import answer_cache
from kdcore.engine import build as parts_room
from kdcore.engine import setup as setup_room
from kdcore.engine.train import train
from kdcore.events import Step
from kdcore.runs.record import write_arrays
from kdcore.spec.registry import DATA, MODELS
from kdcore.spec.schedule import Schedule
from kdcore.spec.spec import Choice, Spec, Watch

ROUNDS = 5
LITTLE = Watch(points=20, evaluations=1, frames=1, checkpoints=1)
Row = dict[str, Any]


def choice(name: str, **knobs: Any) -> Choice:
    return Choice(name=name, knobs=knobs)


def pair(data: Choice, teacher: Choice, student: Choice, steps: int, batch: int, augment: str) -> Spec:
    """A KD run of `steps` that records little."""
    common: dict[str, Any] = {
        "data": data,
        "source": choice("data", augment=augment),
        "schedule": Schedule(steps=steps, batch=batch),
        "watch": LITTLE,
    }
    return Spec(
        **common, student=student, method=choice("kd"), teacher=Spec(**common, student=teacher, method=choice("ce"))
    )


class _Noise(Data):
    """Random pixels with the shape of CIFAR-100, for timing only."""

    def signature(self) -> tuple[tuple[int, ...], int]:
        return (3, 32, 32), 100

    def load(self, folder: Path, report: Any = None) -> Dataset:
        rng = np.random.default_rng(0)

        def split(rows: int) -> Split:
            return Split(rng.integers(0, 256, (rows, 3, 32, 32), dtype=np.uint8), rng.integers(0, 100, rows))

        train_split = split(2048)
        names = tuple(map(str, range(100)))
        return Dataset(train_split, split(64), split(64), names, (0.5,) * 3, (0.25,) * 3, train_split.y)


TASKS: dict[str, Spec] = {
    "moons, MLP": pair(
        choice("moons"), choice("mlp", width=64, depth=3), choice("mlp", width=8, depth=1), 6000, 64, "none"
    ),
    "28 px digits, LeNet": pair(
        choice("rendered", side=28), choice("lenet", variant="full"), choice("lenet", variant="half"), 300, 64, "none"
    ),
    "CIFAR-100 shapes, ResNet32x4 to ResNet8x4": pair(
        choice("cifar100"), choice("resnet", variant="32x4"), choice("resnet", variant="8x4"), 3, 16, "crop_flip"
    ),
}


@contextmanager
def noise_for_cifar() -> Iterator[None]:
    """CIFAR-100 is not shipped; its shapes are enough for a time."""
    known = {name: DATA[name] for name in DATA if name != "cifar100"}

    class _Known(dict[str, Any]):
        def __missing__(self, name: str) -> Any:
            return lambda **_: _Noise()

    before = parts_room.DATA
    parts_room.DATA = _Known(known)  # type: ignore[assignment]
    try:
        yield
    finally:
        parts_room.DATA = before


def hand_written(spec: Spec, data: Dataset, device: torch.device) -> float:
    """The shortest loop: seconds for `steps` steps of KD."""
    torch.manual_seed(0)
    shape, classes = data.train.x.shape[1:], len(data.classes)
    assert spec.teacher is not None
    teacher = MODELS[spec.teacher.student.name](**spec.teacher.student.knobs).build(shape, classes).to(device).eval()
    student = MODELS[spec.student.name](**spec.student.knobs).build(shape, classes).to(device)
    x, y = torch.from_numpy(data.train.x).to(device), torch.from_numpy(data.train.y).to(device)
    mean = torch.tensor(data.mean, device=device).view(1, -1, 1, 1)
    std = torch.tensor(data.std, device=device).view(1, -1, 1, 1)
    rule = torch.optim.SGD(student.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    course = torch.optim.lr_scheduler.CosineAnnealingLR(rule, spec.schedule.steps)
    pad = {"none": 0, "shift": 2, "crop_flip": 4}[spec.source.knobs["augment"]]  # type: ignore[index]
    batch = spec.schedule.batch
    synchronise(device)
    began = time.perf_counter()
    for step in range(spec.schedule.steps):
        place = step % (len(y) // batch)
        if place == 0:
            order = torch.randperm(len(y), device=device)
        rows = order[place * batch : (place + 1) * batch]
        image = x[rows]
        if pad:
            padded = F.pad(image, (pad,) * 4)
            moved = torch.stack(
                [
                    one[:, dy : dy + shape[1], dx : dx + shape[2]]
                    for one, (dy, dx) in zip(padded, torch.randint(0, 2 * pad + 1, (batch, 2)).tolist(), strict=True)
                ]
            )
            image = torch.where(torch.rand(batch, 1, 1, 1, device=device) < 0.5, moved.flip(3), moved)
        if image.dim() == 4:
            image = (image / 255 - mean) / std
        with torch.no_grad():
            teacher_logits = teacher(image).logits
        logits = student(image).logits
        kd = F.kl_div((logits / 4).log_softmax(1), (teacher_logits / 4).softmax(1), reduction="batchmean")
        loss = 0.1 * F.cross_entropy(logits, y[rows]) + 0.9 * 16 * kd
        rule.zero_grad()
        loss.backward()
        rule.step()
        course.step()
    synchronise(device)
    return time.perf_counter() - began


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


class _Timed(Desk):
    """Notes when the first step is about to be done, so that preparations are not counted."""

    began = 0.0

    def commands(self) -> list[Any]:
        self.began = self.began or time.perf_counter()
        return []


class _Watched(_Timed):
    """Somebody looks, and what is shown is written where viewers read it."""

    def __init__(self, folder: Path, audience: Audience) -> None:
        self.folder, self.present = folder, audience

    def audience(self) -> Audience:
        return self.present

    def show(self, channel: Any, arrays: dict[str, np.ndarray]) -> None:
        write_arrays(self.folder / "live" / f"{channel}.npz", arrays, compress=False)


def engine(spec: Spec, weights: Path, audience: Audience | None = None) -> float:
    """Seconds from the first step to the last through `train`, what it records in between included."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        desk = _Watched(folder, audience) if audience else _Timed()
        for event in train(spec, folder, teacher_weights=weights, desk=desk):
            if isinstance(event, Step) and event.step == spec.schedule.steps:
                return time.perf_counter() - desk.began
    raise RuntimeError("the run did not finish")


@contextmanager
def no_answers_kept() -> Iterator[None]:
    """The teacher is asked at every step, as the hand-written loop does."""
    before, answer_cache.CACHE_BYTES = answer_cache.CACHE_BYTES, 0
    try:
        yield
    finally:
        answer_cache.CACHE_BYTES = before


def ratio(name: str, least: float, base: Callable[[], float], ours: Callable[[], float]) -> Row:
    """Throughput of `ours` over that of `base`: the median over rounds taken in turn, with its range."""
    base(), ours()
    ratios = sorted(base() / ours() for _ in range(ROUNDS))
    return {"what": name, "ratio": statistics.median(ratios), "from": ratios[0], "to": ratios[-1], "at least": least}


def teacher_weights(spec: Spec, place: Path) -> Path:
    """Untrained weights do: time does not depend on their values."""
    assert spec.teacher is not None
    teacher = spec.teacher.model_copy(update={"schedule": Schedule(steps=1, batch=16)})
    list(train(teacher, place))
    return place / "student.safetensors"


def rows() -> Iterator[Row]:
    """Every ratio of this file."""
    with noise_for_cifar(), tempfile.TemporaryDirectory() as place:
        for at, (name, spec) in enumerate(TASKS.items()):
            weights = teacher_weights(spec, Path(place) / str(at))
            parts = setup_room.Setup(spec, Path(place), weights, lambda *_: None)
            base = partial(hand_written, spec, parts.data, parts.device)
            with no_answers_kept():
                yield ratio(f"{name}: engine / hand-written, same work", 0.97, base, partial(engine, spec, weights))
            if parts.source.static:
                yield ratio(f"{name}: engine / hand-written, as shipped", 0.97, base, partial(engine, spec, weights))
        long = Schedule(steps=12_000, batch=64)
        moons = TASKS["moons, MLP"].model_copy(update={"schedule": long})
        watched = partial(engine, moons, Path(place) / "0" / "student.safetensors")
        yield ratio("moons: every panel at 2 Hz / unwatched", 0.97, watched, partial(watched, Audience(2, 0)))
        yield ratio("moons: field at 20 Hz / unwatched", 0.8, watched, partial(watched, Audience(2, 20)))
