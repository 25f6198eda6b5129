"""A student's weights while it learned: its first ones, made again from its seed, and those of its checkpoints."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from kdcore.engine.build import network
from kdcore.spec.spec import Spec

PREFIX = "modules.student."
Weights = dict[str, Tensor]


class Stop(NamedTuple):
    """A student's weights after so many steps."""

    step: int
    weights: Weights


def first(spec: Spec, shape: tuple[int, ...], classes: int) -> Weights:
    """Return the weights that a run of `spec` began with, as its seed makes them; the caller's chance is left as it
    was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(spec.seed)
        return dict(network(spec, shape, classes).state_dict())


def stops(folder: Path) -> Iterator[Stop]:
    """Yield the student at each checkpoint of a run's folder that can be read, in the order of their steps."""
    for path in sorted((folder / "checkpoints").glob("*.safetensors")):
        try:
            with safe_open(path, framework="pt") as stored:
                names = [name for name in stored.keys() if name.startswith(PREFIX)]  # noqa: SIM118
                weights = {name.removeprefix(PREFIX): stored.get_tensor(name) for name in names}
                step = int(stored.metadata()["step"])
        except (OSError, SafetensorError, KeyError, ValueError):
            continue
        yield Stop(step, weights)
