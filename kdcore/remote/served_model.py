"""A finished run's network behind one grade of access, as a server shows it."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from kdcore.contracts.access import Access
from kdcore.contracts.data import silent
from kdcore.contracts.net import CHUNK, Net
from kdcore.contracts.outputs import Outputs
from kdcore.engine.build import dataset, device_for, network
from kdcore.engine.checkpoint import load_weights
from kdcore.engine.teacher_access import granted
from kdcore.errors import BadInput, shortened
from kdcore.spec.catalogue import home
from kdcore.spec.registry import DATA
from kdcore.spec.spec import Spec, parse

VERSION = "1"
MOST = 1024  # images in a request
ROUNDING = 1e-3  # how far beyond 0 and 1 a pixel may be


class ServedModel:
    """A network that answers what its access grants.

    Args:
        name: under which it is asked.
        net: in eval mode.
        spec: of its run.
        classes: their names.
        mean, std: of its pixels; empty where it reads features.
        access: what it grants.
    """

    def __init__(
        self, name: str, net: Net, spec: Spec, classes: Sequence[str], mean: Sequence[float], std: Sequence[float],
        access: Access,
    ) -> None:  # fmt: skip
        self.name, self.net, self.spec, self.classes, self.access = name, net, spec, tuple(classes), access
        self.shape, _ = DATA[spec.data.name](**spec.data.knobs).signature()
        self.entry = "pixels" if len(self.shape) == 3 else "features"
        self.device = next(net.parameters()).device
        self.mean, self.std = (torch.tensor(values, device=self.device).view(1, -1, 1, 1) for values in (mean, std))
        self.alone = threading.Lock()  # a second request would only slow down the first

    @property
    def facts(self) -> dict[str, Any]:
        """Its metadata."""
        answers = {"answers": self.access, "classes": self.classes}
        return {
            "name": self.name,
            "versions": [VERSION],
            "platform": "kdlab_torch",
            "inputs": [{"name": self.entry, "datatype": "FP32", "shape": [-1, *self.shape]}],
            "outputs": [
                {"name": "answers", "datatype": "FP32", "shape": [-1, len(self.classes)], "parameters": answers}
            ],
        }

    def checked(self, tensors: dict[str, np.ndarray]) -> np.ndarray:
        """Return the one input, as the network reads it.

        Raises:
            BadInput: it is none.
        """
        if list(tensors) != [self.entry]:
            raise BadInput(f"The model reads one input, {self.entry!r}, but got {', '.join(tensors)[:120] or 'none'}.")
        x = tensors[self.entry]
        if x.dtype != np.float32 or x.shape[1:] != self.shape or not 0 < len(x) <= MOST:
            sizes = "x".join(map(str, self.shape))
            raise BadInput(
                f"{self.entry!r} is FP32, 1 to {MOST} rows of {sizes}, but got {x.dtype} of shape {shortened(x.shape)}."
            )
        pixels = self.entry == "pixels"
        if not np.isfinite(x).all() or (pixels and (x.min() < -ROUNDING or x.max() > 1 + ROUNDING)):
            raise BadInput(
                f"{self.entry!r} must be finite numbers{' from 0 to 1' if pixels else ''}; scale them first."
            )
        return x

    @torch.no_grad()
    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Answers (B, C) in float32 to inputs (B, ...)."""
        with self.alone:
            parts = torch.split(torch.tensor(x, device=self.device), CHUNK)
            logits = torch.cat([self.net(self._normalised(part)).logits.float() for part in parts])
        if self.access == "probabilities":
            logits = logits.softmax(1)
        elif self.access == "labels":
            logits = granted(Outputs(logits, ()), "labels").logits
        answers: np.ndarray = logits.cpu().numpy()
        return answers

    def _normalised(self, x: torch.Tensor) -> torch.Tensor:
        return (x - self.mean) / self.std if x.dim() == 4 else x


def load(weights: Path, name: str, access: Access, spec: Spec | None = None) -> ServedModel:
    """Return the network of a finished run.

    Args:
        weights: its file, whose head says what network it is and how it reads pixels.
        spec: for files of earlier versions, whose head says nothing; the data are loaded to know the rest.

    Raises:
        BadInput: the file cannot be used.
    """
    head = _head(weights)
    asked = parse(head["spec"]) if "spec" in head else spec
    if asked is None:
        raise BadInput(f"The weights in {weights} do not say what they are of; serve a run that was made here.")
    if {"classes", "mean", "std"} <= head.keys():
        classes, mean, std = (json.loads(head[name]) for name in ("classes", "mean", "std"))
    else:
        held = dataset(asked.data, home() / "data", silent)
        classes, mean, std = held.classes, held.mean, held.std
    shape, count = DATA[asked.data.name](**asked.data.knobs).signature()
    net = load_weights(network(asked, shape, count), weights).to(device_for("auto"))
    return ServedModel(name, net, asked, classes, mean, std, access)


def _head(weights: Path) -> dict[str, str]:
    try:
        with safe_open(weights, framework="pt") as stored:
            return stored.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise BadInput(f"The weights in {weights} cannot be read ({error}); do the run again.") from error
