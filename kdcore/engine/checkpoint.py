"""Everything a resume needs in one safetensors file: weights, optimiser, random states, and the settings in force."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from kdcore.atomic import replacing
from kdcore.contracts.net import Net
from kdcore.device import chance_of, go_on
from kdcore.errors import BadInput, gist, upshot
from kdcore.nn.optim import Rule
from kdcore.spec.spec import Spec, parse
from kdcore.untrusted import parsing

SAME = 1e-6  # means and deviations that differ by less are those of the same data


class TrainingState(NamedTuple):
    """What a file held."""

    step: int
    spec: Spec  # with the changes made during the run
    tensors: dict[str, Tensor]


def save_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file, whole or not at all."""
    with replacing(path) as draft:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, draft, metadata)


def load_weights(net: Net, path: Path, mean: Sequence[float] = (), std: Sequence[float] = ()) -> Net:
    """Fill `net` from a safetensors file, in eval mode and without gradients.

    Args:
        net: it is changed.
        path: of a finished run's weights.
        mean, std: those by which inputs will have been normalised, per channel. Where the file says that its network
            learned from inputs normalised by others, its first block puts them right.

    Raises:
        BadInput: the file is absent or damaged, or belongs to another network.
    """
    try:
        net.load_state_dict(_named(load_file(path), net))
        said = head_of(path)
    except (OSError, SafetensorError, RuntimeError, ValueError) as error:
        raise BadInput(f"The weights in {path} cannot be used ({gist(error)}); train that run again.") from error
    theirs = [said[name] for name in ("mean", "std") if name in said]
    if mean and len(theirs) == 2 and not np.allclose(theirs, (mean, std), rtol=0, atol=SAME):
        (our_mean, our_std), (their_mean, their_std) = (map(_column, pair) for pair in ((mean, std), theirs))
        put_right = _Affine(our_std / their_std, (our_mean - their_mean) / their_std)
        net.blocks[0] = nn.Sequential(put_right.to(next(net.parameters()).device), net.blocks[0])
    return net.eval().requires_grad_(False)


def _named(tensors: dict[str, Tensor], net: Net) -> dict[str, Tensor]:
    """Return the tensors as `net` names them: OFD once kept a head of one layer as the first part of a sequence."""
    if not isinstance(net.head, nn.Linear):
        return tensors
    return {name.replace("head.0.", "head.", 1): tensor for name, tensor in tensors.items()}


class _Affine(nn.Module):
    """x * scale + shift, neither of which is learned."""

    scale: Tensor
    shift: Tensor

    def __init__(self, scale: Tensor, shift: Tensor) -> None:
        super().__init__()
        self.register_buffer("scale", scale)
        self.register_buffer("shift", shift)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale + self.shift


def _column(values: Sequence[float]) -> Tensor:
    """One value a channel (1, K, 1, 1)."""
    return torch.tensor(values).view(1, -1, 1, 1)


def head_of(path: Path) -> dict[str, Any]:
    """Return what a run's weights say of the data it learned from: "classes", "mean" and "std", where they do.

    Raises:
        BadInput: the file is damaged.
    """
    problem, remedy = f"The weights {path} are damaged or cut off", "bring the run's record anew, or train it again"
    with parsing(problem, remedy), safe_open(path, framework="pt") as stored:
        said = stored.metadata() or {}
        return {name: json.loads(said[name]) for name in ("classes", "mean", "std") if name in said}


Rules = Mapping[str, Rule]  # the student's is named "rule", those of its source otherwise


METER = "meter"  # the group of tensors that say what the teacher was asked


def save(
    folder: Path, step: int, spec: Spec, modules: nn.ModuleDict, rules: Rules, meter: Mapping[str, Tensor] | None = None
) -> Path:
    """Write the state after `step` updates to `folder`/checkpoints and return the file's path."""
    tensors = {f"modules.{name}": tensor for name, tensor in modules.state_dict().items()}
    for rule in rules:
        tensors |= {f"{rule}.{name}": tensor for name, tensor in rules[rule].state().items()}
    tensors |= {f"{METER}.{name}": tensor for name, tensor in (meter or {}).items()}
    tensors |= {f"random.{name}": state for name, state in chance_of(_device(modules)).items()}
    path = folder / "checkpoints" / f"{step:08d}.safetensors"
    save_tensors(path, tensors, {"step": str(step), "spec": spec.model_dump_json()})
    return path


def newest(folder: Path) -> TrainingState | None:
    """Return the last readable checkpoint of a run's folder; a damaged file is passed over for the one before it."""
    for path in sorted((folder / "checkpoints").glob("*.safetensors"), reverse=True):
        try:
            with safe_open(path, framework="pt") as stored:
                metadata = stored.metadata()
                tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
            return TrainingState(int(metadata["step"]), parse(metadata["spec"]), tensors)
        except (OSError, SafetensorError, KeyError, ValueError):
            continue
    return None


def restore(checkpoint: TrainingState, modules: nn.ModuleDict, rules: Rules) -> dict[str, Tensor]:
    """Put modules, optimisers and random states back as they were; the meter's part is returned.

    Raises:
        BadInput: the checkpoint is of modules of other shapes.
    """
    groups: dict[str, dict[str, Tensor]] = {name: {} for name in ("modules", "random", METER, *rules)}
    for name, tensor in checkpoint.tensors.items():
        group, _, rest = name.partition(".")
        groups[group][rest] = tensor
    try:
        modules.load_state_dict(groups["modules"])
    except RuntimeError as error:
        raise BadInput(
            "This run broke off under an earlier version, whose method or network was built otherwise "
            f"({upshot(error)}); it cannot go on: start it anew."
        ) from error
    for name, rule in rules.items():
        rule.load(groups[name])
    go_on(_device(modules), groups["random"])
    return groups[METER]


def _device(modules: nn.Module) -> torch.device:
    """Where a run's networks are."""
    return next(modules.parameters()).device
