"""A step on a device that has no values, torch's "meta", and before it what the method connects.

Whoever asks such a tensor for a value, or mixes it with one of the CPU, gets an error. So a step that runs there
neither waits for a device nor leaves a tensor on the wrong one, and that can be known without a GPU. What is moved to
the device must go through `kdcore.device.onto`, which does not make the host wait.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from kdcore.device import onto
from kdcore.engine.answer_cache import AnswerCache
from kdcore.engine.setup import Setup
from kdcore.engine.step import learn
from kdcore.nn.optim import Rule
from tests.gpu.lines import Line
from tests.gpu.steps import AT, same_draws

META = torch.device("meta")


def on_meta(setup: Setup) -> Setup:
    """The same parts without any value."""

    def moved(tensor: Tensor, memo: dict[int, Any]) -> Tensor:
        if id(tensor) not in memo:
            empty = tensor.detach().to(META)
            held = isinstance(tensor, nn.Parameter)
            memo[id(tensor)] = nn.Parameter(empty, tensor.requires_grad) if held else empty
        found: Tensor = memo[id(tensor)]
        return found

    with patch.object(Tensor, "__deepcopy__", moved), patch.object(nn.Parameter, "__deepcopy__", moved):
        copied = deepcopy(setup)
    copied.device = META
    return copied


class _Moves(TorchDispatchMode):
    """Notes what comes from the CPU on another way than `onto`."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        if _moves(func, args, made) and not _allowed():
            self.seen.add(_caller())
        return made


def _frames() -> Iterator[Any]:
    frame = sys._getframe(2)
    while frame:
        yield frame
        frame = frame.f_back


def _moves(func: Any, args: tuple[Any, ...], made: Any) -> bool:
    """Whether an operation moves values of the CPU to the device: as a copy, into a tensor, or as places in one."""
    aten = torch.ops.aten
    if func is aten._to_copy.default:
        return args[0].device.type == "cpu" and made.device == META
    if func is aten.copy_.default:
        return args[0].device == META and args[1].device.type == "cpu"
    if func in (aten.index.Tensor, aten.index_put.default, aten.index_put_.default):
        return args[0].device == META and any(one is not None and one.device.type == "cpu" for one in args[1])
    return False


def _allowed() -> bool:
    """Whether it is `onto`, or torchvision's augmentation, which moves its matrices itself."""
    return any(frame.f_code is onto.__code__ or "/torchvision/" in frame.f_code.co_filename for frame in _frames())


def _caller() -> str:
    """The innermost place in the engine."""
    return next(
        f"{frame.f_code.co_filename.rsplit('/kdcore/')[-1]}:{frame.f_lineno}"
        for frame in _frames()
        if "/kdcore/" in frame.f_code.co_filename
    )


@contextmanager
def counted() -> Iterator[_Moves]:
    """Meanwhile moves to the device are seen, also by `torch.tensor`, and updates, which are torch's, are left out."""
    moves, tensor = _Moves(), torch.tensor

    def made(*args: Any, device: Any = None, **more: Any) -> Tensor:
        if torch.device(device or "cpu") == META and not _allowed():
            moves.seen.add(_caller())
        return tensor(*args, device=device, **more)

    with ExitStack() as patches:
        patches.enter_context(patch.object(torch, "tensor", made))
        patches.enter_context(patch.object(Rule, "step", lambda *_: None))
        patches.enter_context(same_draws(double=False))
        yield patches.enter_context(moves)


def dry(setup: Setup, what: str) -> Line:
    """A step of a run on the device without values, and one of its source's lead."""
    parts = on_meta(setup)
    if parts.answers:
        parts.answers.cache = AnswerCache()  # so that the teacher is asked there
    with same_draws(double=False):
        parts.method.connect(parts._pair())
    with counted() as moves:
        if parts.lead:
            parts.source.learn(parts.making, parts.scene, 0)  # type: ignore[attr-defined]
        learn(parts, parts.batch(parts.learned[: setup.spec.schedule.batch], AT), rate=0.1)
    if moves.seen:
        return Line("FAILED", what, f"the host waits for a copy in {', '.join(sorted(moves.seen))}")
    return Line("held", what, "no value is asked for, and none is left on the host", "on torch's device without values")
