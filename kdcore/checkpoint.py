"""Everything a resume needs in one safetensors file: weights, optimiser, random states, and the settings in force."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from kdcore.optimize import Rule
from kdcore.spec import Spec, parse


class Checkpoint(NamedTuple):
    """What a file held."""

    step: int
    spec: Spec  # with the changes made during the run
    tensors: dict[str, Tensor]


def save_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file whole or not at all: under a temporary name, then renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, draft, metadata)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def save(folder: Path, step: int, spec: Spec, modules: nn.ModuleDict, rule: Rule) -> Path:
    """Write the state after `step` updates to `folder`/checkpoints and return the file's path."""
    tensors = {f"modules.{name}": tensor for name, tensor in modules.state_dict().items()}
    tensors |= {f"rule.{name}": tensor for name, tensor in rule.state().items()}
    tensors["random.cpu"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["random.cuda"] = torch.cuda.get_rng_state()
    path = folder / "checkpoints" / f"{step:08d}.safetensors"
    save_tensors(path, tensors, {"step": str(step), "spec": spec.model_dump_json()})
    return path


def newest(folder: Path) -> Checkpoint | None:
    """The last readable checkpoint of a run's folder; a damaged file is passed over for the one before it."""
    for path in sorted((folder / "checkpoints").glob("*.safetensors"), reverse=True):
        try:
            with safe_open(path, framework="pt") as stored:
                metadata = stored.metadata()
                tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
            return Checkpoint(int(metadata["step"]), parse(metadata["spec"]), tensors)
        except (OSError, SafetensorError, KeyError, ValueError):
            continue
    return None


def restore(checkpoint: Checkpoint, modules: nn.ModuleDict, rule: Rule) -> None:
    """Put modules, optimiser and random states back as they were."""
    groups: dict[str, dict[str, Tensor]] = {"modules": {}, "rule": {}, "random": {}}
    for name, tensor in checkpoint.tensors.items():
        group, _, rest = name.partition(".")
        groups[group][rest] = tensor
    modules.load_state_dict(groups["modules"])
    rule.load(groups["rule"])
    torch.set_rng_state(groups["random"]["cpu"])
    if torch.cuda.is_available() and "cuda" in groups["random"]:
        torch.cuda.set_rng_state(groups["random"]["cuda"])
