"""Our step beside one of torchdistill's, where that library is installed; it is no dependency of ours.

Both sides train a small CNN under one four times as wide on random images with the shapes of CIFAR-100: the same rows,
batch, SGD and threads, in turn in one process; its networks are copies of ours. Its side is a `DistillationBox` with a
configuration as its documentation writes them, in the loop of its examples: batches from its data loader,
`forward_process`, `post_forward_process`. What differs: ours keeps the rows on the device as pixels and normalises each
batch, while it collates a batch from single rows and moves it; to spare it decoding, its rows are tensors that are
normalised beforehand. Ours records a loss point and turns the learning rate at every step; its side logs nothing and
has no schedule. CRD's negatives it draws in the data loader, ours on the device: its loss works only where they come
from its dataset wrapper, as they do here (in 1.1.5 it fails where it should draw them itself). Preparations, ours of
asking the teacher about all rows once among them, are not counted on either side.
"""

from __future__ import annotations

import importlib.util
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from kdcore.contracts.net import Net, stage_shapes
from kdcore.engine import setup as setup_room
from kdcore.spec.spec import Spec
from tests.bench.engine import (
    ROUNDS,
    Row,
    choice,
    engine,
    no_answers_kept,
    noise_for_cifar,
    pair,
    synchronise,
    teacher_weights,
)

STEPS, BATCH = 16, 32
NEGATIVES, DIMENSIONS = 1024, 128  # of CRD, ours and its
PLAIN = pair(choice("cifar100"), choice("cnn", width=32), choice("cnn", width=8), STEPS, BATCH, "none")
Config = dict[str, Any]


class _Rows(torch.utils.data.Dataset[tuple[Tensor, int]]):
    """The training rows as its examples have them: a normalised image and its class."""

    def __init__(self, parts: setup_room.Setup) -> None:
        self.images, self.targets = parts.normalise(parts.x).cpu(), parts.y.tolist()
        self.classes = parts.data.classes

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        return self.images[row], self.targets[row]


def pooling(net: Net) -> Net:
    """A copy of a network whose pooling answers (B, K, 1, 1), as its wrappers expect."""
    net = deepcopy(net)
    assert isinstance(net.head, nn.Sequential)
    net.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), net.head[1])
    return net


def kd_term(student: str, teacher: str, alpha: float) -> Config:
    """Labels, weighted `alpha`, and softened probabilities, by the modules that answer logits."""
    paths = {"student_module_path": student, "teacher_module_path": teacher}
    io = {"student_module_io": "output", "teacher_module_io": "output"}
    return {"key": "KDLoss", "kwargs": {**paths, **io, "temperature": 4.0, "alpha": alpha, "reduction": "batchmean"}}


def network(outputs: list[str], inputs: list[str] | None = None, **more: Any) -> Config:
    """One network's part of a configuration: which modules are listened to."""
    hooks = {"input": inputs or [], "output": outputs}
    return {"forward_proc": "forward_batch_only", "forward_hook": hooks, **more}


def kd(_: setup_room.Setup) -> Config:
    """Plain KD."""
    return {
        "teacher": network(["head"], requires_grad=False),
        "student": network(["head"]),
        "terms": {"kd": {"criterion": kd_term("head", "head", 0.1), "weight": 1.0}},
    }


def crd(parts: setup_room.Setup) -> Config:
    """CRD, with KD beside it as its configurations have it."""
    rows = len(parts.y)

    def side(width: int, inputs: list[str], **more: Any) -> Config:
        linear = {"in_features": width, "out_features": DIMENSIONS, "bias": True}
        wrapper = {
            "key": "Linear4CRD",
            "kwargs": {"input_module_path": "model.head.0", "linear_kwargs": linear, "power": 2},
        }
        told = {"forward_proc": "forward_batch_supp_dict", "auxiliary_model_wrapper": wrapper, **more}
        return network(["model.head.0", "model.head", "normalizer"], inputs) | told

    contrast = {
        "teacher_norm_module_path": "normalizer",
        "student_norm_module_path": "normalizer",
        "student_empty_module_path": "empty",
        "input_size": DIMENSIONS,
        "output_size": rows,
        "num_negative_samples": NEGATIVES,
        "num_samples": rows,
    }
    student, teacher = (net.head[1].in_features for net in (parts.student, parts.teacher))
    return {
        "teacher": side(teacher, [], frozen_modules=["model"]),
        "student": side(student, ["empty"]),
        "dataset_wrapper": {
            "key": "CRDDatasetWrapper",
            "kwargs": {"num_negative_samples": NEGATIVES, "mode": "exact", "ratio": 1.0},
        },
        "terms": {
            "kd": {"criterion": kd_term("model.head", "model.head", 0.5), "weight": 2.0},
            "crd": {"criterion": {"key": "CRDLoss", "kwargs": contrast}, "weight": 0.8},
        },
    }


def reviewkd(parts: setup_room.Setup) -> Config:
    """ReviewKD: the three stages and the pooled feature, the deepest last."""
    ours, its = (stage_shapes(net, parts.shape) for net in (parts.student, parts.teacher))
    places = [*(f"blocks.{stage}" for stage in range(len(ours))), "head.0"]
    middle, sizes = ours[-1][0], [1, *(shape[1] for shape in reversed(ours))]
    fusions = [
        {
            "io": "output",
            "path": f"student_model.{place}",
            "kwargs": {"in_channels": inputs, "mid_channels": middle, "out_channels": outputs},
        }
        for place, (inputs, *_), (outputs, *_) in zip(places, [*ours, ours[-1]], [*its, its[-1]], strict=True)
    ]
    wrapper = {"key": "Student4KnowledgeReview", "kwargs": {"sizes": sizes, "abfs": fusions}}
    imitations = [f"abf_modules.{level}" for level in range(len(places))]
    listened = [*(f"student_model.{place}" for place in places), "student_model.head", *imitations]
    labels = {
        "criterion": {"key": "CrossEntropyLoss", "kwargs": {"reduction": "mean"}},
        "criterion_wrapper": {
            "key": "SimpleLossWrapper",
            "kwargs": {
                "input": {"is_from_teacher": False, "module_path": "student_model.head", "io": "output"},
                "target": {"uses_label": True},
            },
        },
        "weight": 1.0,
    }
    reviews = {
        imitation: {
            "criterion": {
                "key": "HierarchicalContextLoss",
                "kwargs": {
                    "student_module_path": imitation,
                    "student_module_io": "output",
                    "teacher_module_path": place,
                    "teacher_module_io": "output",
                },
            },
            "weight": 1.0,
        }
        for imitation, place in zip(imitations, reversed(places), strict=True)
    }
    return {
        "teacher": network(places, requires_grad=False),
        "student": network(listened, auxiliary_model_wrapper=wrapper),
        "terms": {"labels": labels, **reviews},
    }


class Task(NamedTuple):
    """One method on both sides."""

    title: str
    method: str
    knobs: dict[str, Any]  # ours, so that both do the same
    config: Callable[[setup_room.Setup], Config]  # its

    @property
    def spec(self) -> Spec:
        return Spec.model_validate(PLAIN.model_dump() | {"method": {"name": self.method, "knobs": self.knobs}})


TASKS = (
    Task("KD", "kd", {}, kd),
    Task("CRD and KD", "crd", {"kd_weight": 1.0, "negatives": NEGATIVES, "dimensions": DIMENSIONS}, crd),
    Task("ReviewKD", "reviewkd", {}, reviewkd),
)


def theirs(parts: setup_room.Setup, config: Config) -> float:
    """Seconds for as many steps of a fresh `DistillationBox` as the spec has."""
    from torchdistill.core.distillation import get_distillation_box

    schedule = parts.spec.schedule
    loader = {
        "dataset_id": "train",
        "sampler": {"class_or_func": torch.utils.data.RandomSampler},
        "kwargs": {"batch_size": schedule.batch, "drop_last": True},
    }
    if "dataset_wrapper" in config:
        loader["dataset_wrapper"] = config["dataset_wrapper"]
    rule = {"lr": schedule.lr, "momentum": schedule.momentum, "weight_decay": schedule.weight_decay}
    asked = {
        "num_epochs": 1,
        "train_data_loader": loader,
        "teacher": config["teacher"],
        "student": config["student"],
        "optimizer": {"key": "SGD", "kwargs": rule},
        "criterion": {"key": "WeightedSumLoss", "kwargs": {"sub_terms": config["terms"]}},
    }
    nets = pooling(parts.teacher), pooling(parts.student)
    box = get_distillation_box(*nets, {"train": _Rows(parts)}, deepcopy(asked), parts.device, None, False, 1.0)
    box.pre_epoch_process(epoch=0)
    synchronise(parts.device)
    began = time.perf_counter()
    for step, (images, targets, more) in enumerate(box.train_data_loader):
        if step == schedule.steps:
            break
        box.pre_forward_process()
        loss = box.forward_process(images.to(parts.device), targets.to(parts.device), more)
        box.post_forward_process(loss=loss)
    synchronise(parts.device)
    return time.perf_counter() - began


def in_turn(sides: Sequence[Callable[[], float]]) -> Iterator[list[float]]:
    """Seconds a step of each side, round by round, after one that warms up."""
    for side in sides:
        side()
    for _ in range(ROUNDS):
        yield [side() / STEPS for side in sides]


def compared(what: str, rounds: Sequence[tuple[float, float]], other: str) -> Row:
    """How often one side's step fits into the other's: the median of the rounds, with their range."""
    ratios = sorted(base / ours for base, ours in rounds)
    base_ms, ours_ms = (1000 * statistics.median(column) for column in zip(*rounds, strict=True))
    unit = f"times as fast, with {ours_ms:.1f} ms a step to {base_ms:.1f} of {other}'s"
    return {"what": what, "ratio": statistics.median(ratios), "from": ratios[0], "to": ratios[-1], "unit": unit}


def asking(run: Callable[[], float]) -> float:
    """A run that asks the teacher at every step, as torchdistill does."""
    with no_answers_kept():
        return run()


def beside(task: Task, weights: Path) -> Iterator[Row]:
    """Our engine over torchdistill."""
    with no_answers_kept():
        parts = setup_room.Setup(task.spec, weights.parent, weights, lambda *_: None)
    ours = partial(engine, task.spec, weights)
    found = list(in_turn([partial(theirs, parts, task.config(parts)), partial(asking, ours), ours]))
    for at, name in ((1, "same work"), (2, "as shipped")):
        rounds = [(one[0], one[at]) for one in found]
        yield compared(f"{task.title}: engine / torchdistill, {name}", rounds, "torchdistill")


def dkd_over_kd(weights: Path) -> Row:
    """What torchdistill lacks, over what it has."""
    specs = (TASKS[0].spec, Task("DKD", "dkd", {}, kd).spec)
    sides = [partial(asking, partial(engine, spec, weights)) for spec in specs]
    rounds = [(one[0], one[1]) for one in in_turn(sides)]
    return compared("DKD, which torchdistill does not have: engine / our KD, same work", rounds, "KD")


def rows() -> Iterator[Row]:
    """Every ratio of this file, or how to get the library."""
    if importlib.util.find_spec("torchdistill") is None:
        yield {"what": "beside torchdistill", "said": "it is not installed; .venv/bin/pip install torchdistill"}
        return
    with noise_for_cifar(), tempfile.TemporaryDirectory() as place:
        weights = teacher_weights(PLAIN, Path(place))
        for task in TASKS:
            yield from beside(task, weights)
        yield dkd_over_kd(weights)
