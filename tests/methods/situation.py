"""A small student, a frozen teacher and one batch, with every part that a method needs or asks for."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from kdcore.contracts.method import Batch, Method, Pair, ViewOutputs
from kdcore.contracts.net import Net, pooled, stage_shapes
from kdcore.contracts.outputs import Outputs
from kdcore.generation.networks import Generator
from kdcore.spec.registry import MODELS

SHAPE = (1, 8, 8)
TRAINING_ROWS = 40


class Situation(NamedTuple):
    """What a method meets."""

    student: Net
    teacher: Net
    state: nn.Module | None
    batch: Batch


def nets(classes: int = 4) -> tuple[Net, Net]:
    """A student and a frozen teacher of one family and unlike widths."""
    torch.manual_seed(0)
    student = MODELS["cnn"](width=4).build(SHAPE, classes)
    teacher = MODELS["cnn"](width=8).build(SHAPE, classes).eval().requires_grad_(False)
    return student, teacher


def pair(method: Method, student: Net, teacher: Net, classes: int) -> Pair:
    """What `connect` is told; the training rows are noise."""
    x = torch.randn(TRAINING_ROWS, *SHAPE)
    lent = teacher if method.needs & {"blocks", "gradients"} else None

    def answers() -> Outputs:
        outputs = teacher(x)
        return Outputs(outputs.logits, tuple(pooled(feature) for feature in outputs.features))

    return Pair(
        student=stage_shapes(method.wrap_student(student), SHAPE),
        teacher=stage_shapes(teacher, SHAPE),
        classes=classes,
        labels=torch.arange(TRAINING_ROWS) % classes,
        student_net=student,
        teacher_net=lent,
        fresh=lambda: MODELS["cnn"](width=4).build(SHAPE, classes),
        answers=answers,
        shown=torch.arange(TRAINING_ROWS),
        inputs=lambda rows: x[rows],
        ask=lambda inputs, _: Outputs(teacher(inputs).logits, ()),
    )


def cast(outputs: Outputs, dtype: torch.dtype) -> Outputs:
    """The same outputs in another precision."""
    return Outputs(outputs.logits.to(dtype), tuple(feature.to(dtype) for feature in outputs.features))


def situation(
    method: Method, rows: int = 6, classes: int = 4, dtype: torch.dtype = torch.float32, unlabelled: bool = True
) -> Situation:
    """Two networks, what `connect` made, and a batch in the middle of a run, whose outputs have `dtype`."""
    student, teacher = nets(classes)
    student, teacher = (
        method.adapt_student(student, teacher if "blocks" in method.needs else None),
        method.wrap_teacher(teacher),
    )
    told = pair(method, student, teacher, classes)
    state = method.connect(told)
    labels = torch.arange(rows) % classes
    if unlabelled:
        labels[1::3] = -1
    x = torch.randn(rows, *SHAPE)

    def asked(inputs: Tensor) -> Outputs:
        return cast(teacher(inputs), dtype)

    shown = method.mix_inputs(x, torch.Generator().manual_seed(0), asked) if "mixing" in method.asks else None
    mine, theirs = (shown.student, shown.teacher) if shown else (x, x)
    index = torch.arange(rows)
    if shown and shown.row is not None:
        labels, index = labels[shown.row], index[shown.row]
    strong = x + 0.1 * torch.randn_like(x)
    other = torch.randn(rows, *SHAPE)
    batch = Batch(
        student=cast(method.wrap_student(student)(mine), dtype),
        teacher=asked(theirs) if method.needs else None,
        labels=labels,
        index=index,
        progress=0.5,
        inputs=mine,
        student_net=student,
        teacher_net=told.teacher_net,
        second=ViewOutputs(cast(student(strong), dtype), asked(strong), labels)
        if "second_view" in method.asks
        else None,
        validation=ViewOutputs(cast(student(other), dtype), None, labels.clamp(min=0))
        if "validation" in method.asks
        else None,
        mentors=(asked(theirs + 0.3), asked(theirs - 0.3)) if method.lineage in ("peers", "copies") else (),
        shown=shown,
        invert=Generator(classes, SHAPE, 16, published=False).eval().requires_grad_(False)
        if "inverse" in method.asks
        else None,
    )
    return Situation(student, teacher, state, batch)
