"""What a spec names, made: its device, its networks, its data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from kdcore.contracts.data import Dataset, Report
from kdcore.contracts.net import Net
from kdcore.errors import BadInput
from kdcore.spec.registry import DATA, METHODS, MODELS
from kdcore.spec.spec import Choice, Spec


def device_for(wish: str) -> torch.device:
    """The device a spec asks for.

    Raises:
        BadInput: a GPU is asked for and there is none.
    """
    if wish == "cuda" and not torch.cuda.is_available():
        raise BadInput("The spec asks for a GPU, but this machine has none; choose device 'auto' or 'cpu'.")
    return torch.device("cuda" if wish != "cpu" and torch.cuda.is_available() else "cpu")


def network(spec: Spec, shape: tuple[int, ...], classes: int) -> Net:
    """The network that a run of `spec` trains, before its first step, for weights to be loaded into."""
    student = build(spec.student, shape, classes)
    method = METHODS[spec.method.name](**spec.method.knobs)
    teacher = network(spec.teacher, shape, classes) if spec.teacher and "blocks" in method.needs else None
    return method.adapt_student(student, teacher)


def build(choice: Choice, shape: tuple[int, ...], classes: int) -> Net:
    """A freshly initialised network, its channels innermost in memory: convolutions read them faster so."""
    return MODELS[choice.name](**choice.knobs).build(shape, classes).to(memory_format=torch.channels_last)


_LOADED: dict[tuple[str, Path], Dataset] = {}  # at most one: a teacher's data are mostly its student's
_SAID: dict[tuple[object, ...], Tensor] = {}  # logits of teachers on splits of data
TEACHERS_SAID = 16  # splits by teachers that are remembered


def dataset(choice: Choice, folder: Path, report: Report) -> Dataset:
    """The data that a choice names, not read again where the last run of this process had the same."""
    key = choice.model_dump_json(), folder
    if key not in _LOADED:
        _LOADED.clear()
        _SAID.clear()
        _LOADED[key] = DATA[choice.name](**choice.knobs).load(folder, report)
    return _LOADED[key]


def said(weights: Path, data: Choice, split: str, device: torch.device, ask: Callable[[], Tensor]) -> Tensor:
    """A teacher's logits on a split of data, asked for once by a process, as a teacher has many students.

    Args:
        weights: the teacher's; it is another one once they are written anew.
        data, split: what it is asked about.
        device: where the logits are wanted.
        ask: what gives them.
    """
    key = (weights.resolve(), weights.stat().st_mtime_ns, data.model_dump_json(), split, device)
    if key not in _SAID:
        if len(_SAID) >= TEACHERS_SAID:
            _SAID.clear()
        _SAID[key] = ask()
    return _SAID[key]
