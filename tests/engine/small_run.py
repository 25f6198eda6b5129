"""A small run of any method on digits, and its parts."""

from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from kdcore.contracts.control import Desk
from kdcore.engine.setup import Setup
from kdcore.engine.train import train
from kdcore.events import Event
from kdcore.spec.lineage import lineage
from kdcore.spec.registry import METHODS
from kdcore.spec.schedule import Schedule
from kdcore.spec.spec import Choice, Spec, Watch

torch.set_num_threads(1)
STEPS = 12
DIGITS = Choice(name="digits", knobs={"train_fraction": 0.3})
WATCH = Watch(points=4, evaluations=1, frames=2, checkpoints=4)
CUT = 3  # checkpoints before the cut, when all that begins in the middle of a run has begun
SMALL = {"steps": 7, "real": 8, "width": 8}  # of a generator
SCHEDULE = Schedule(steps=STEPS, batch=32, lr=0.05)
TEACHER = Spec(
    data=DIGITS, student=Choice(name="cnn", knobs={"width": 8}), method=Choice(name="ce"),
    schedule=SCHEDULE, watch=WATCH,
)  # fmt: skip


def taught(method: str = "kd", **knobs: object) -> Spec:
    """A small run of one method, with the teachers it wants."""
    teacher = TEACHER if METHODS[method].needs else None
    student = Choice(name="cnn", knobs={"width": 4})
    maker = {"source": Choice(name="mekd", knobs=SMALL)} if "inverse" in METHODS[method].asks else {}
    chosen = Choice(name=method, knobs=knobs)
    common = {"data": DIGITS, "schedule": SCHEDULE, "watch": WATCH} | maker
    return lineage(Spec(student=student, method=chosen, teacher=teacher, **common))


Weights = Callable[[Spec], Path]


def run(spec: Spec, folder: Path, weights: Weights, desk: Desk | None = None) -> Iterator[Event]:
    """The story of a run whose teachers are as `weights` makes them."""
    return train(
        spec,
        folder,
        teacher_weights=weights(spec.teacher) if spec.teacher else None,
        mentor_weights=[weights(mentor) for mentor in spec.mentors],
        start_weights=weights(spec.start) if spec.start else None,
        desk=desk,
    )


def parts(spec: Spec, weights: Weights) -> Setup:
    """What a run of `spec` is made of."""
    teacher = weights(spec.teacher) if spec.teacher else None
    start = weights(spec.start) if spec.start else None
    mentors = [weights(mentor) for mentor in spec.mentors]
    return Setup(spec, Path(), teacher, lambda *_: None, mentors, start_weights=start)


def kept(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / "student.safetensors")


def same(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)
