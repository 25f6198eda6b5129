"""A teacher whose weights a person uploaded as safetensors, for a network that KD Lab knows.

Weights that a run here has written say what network they are of and how it reads pixels; others need its name and,
where they differ from 0 and 1, mean and std. Weights of torchvision's classifiers may have torchvision's own names.

Source: the file format is that of https://huggingface.co/docs/safetensors; the networks are those of the catalogue.

Departs from it: none; tensors of another precision are turned into float32, and what DataParallel and torch.compile
put before names is taken off.

Zero when: never; a teacher has no loss.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch
from pydantic import Field
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from kdcore.contracts.access import Access
from kdcore.contracts.outputs import Outputs
from kdcore.contracts.service import Answered, Line
from kdcore.engine.build import build, network
from kdcore.errors import BadInput
from kdcore.files import uploads
from kdcore.spec.catalogue import check_knobs
from kdcore.spec.registry import DATA
from kdcore.spec.spec import Choice, parse
from kdcore.teachers._pixels import Reader, as_tensor, check_classes
from kdcore.untrusted import parsing, read_json

BATCH = 256  # images at once
WRAPPERS = ("module.", "_orig_mod.")  # before each name where a wrapped network was saved: DataParallel, torch.compile


class _Head(NamedTuple):
    """What stands in a file before its tensors."""

    shapes: dict[str, list[int]]  # by name, without the prefix
    prefix: str  # that all names have in the file
    said: Mapping[str, str]  # "spec", "classes", "mean" and "std" as JSON, where a run here wrote it


class WeightsTeacher(Reader):
    """Uploaded weights of a known network."""

    title: ClassVar[str] = "Uploaded weights"
    says: ClassVar[str] = "Weights in safetensors for a network that KD Lab knows."
    upload: ClassVar[str] = "safetensors"
    required: ClassVar[dict[str, str]] = {"file": "its file: upload one"}
    file: str = Field("", description="Name of the uploaded file, as `kdlab upload FILE` prints it.")
    model: str = Field("", description="The network, as `kdlab models` lists it; empty where the file says it.")
    model_knobs: str = Field(
        "",
        title="The network's knobs",
        description="Its knobs as knob=value,knob=value; those left out take their defaults.",
    )

    def connect(self, shape: tuple[int, ...], classes: int, access: Access = "labels") -> Line:
        """Return the line to the network with these weights.

        Raises:
            BadInput: also where they do not fit it; the first tensor that differs is named.
        """
        path = uploads.path(self.file, self.upload)
        head = _head(path)
        told = _listed(head, "classes")
        check_classes(len(told) if told else classes, classes)
        reader = self._reading(head)
        reader.check_scale(shape)
        return _LocalLine(reader, _filled(self._nets(head, shape, classes), path, head), access)

    def made_for(self, shape: tuple[int, ...]) -> tuple[int, ...] | None:
        """Return that of the data whose run wrote the weights."""
        head = _head(uploads.path(self.file, self.upload))
        if self.model or "spec" not in head.said:
            return None
        data = parse(head.said["spec"]).data
        return DATA[data.name](**data.knobs).signature()[0]

    def classes(self) -> tuple[str, ...]:
        """Return the names of its classes in its own order, where the file says them."""
        return tuple(map(str, _listed(_head(uploads.path(self.file, self.upload)), "classes")))

    def _reading(self, head: _Head) -> Reader:
        """How pixels are fed: as the file says, unless a scale was chosen."""
        mean, std = (tuple(_listed(head, name)) for name in ("mean", "std"))
        if self.scale != "unit" or not mean or not std:
            return self
        return self.model_copy(update={"scale": "normalised", "mean": mean, "std": std})

    def _nets(self, head: _Head, shape: tuple[int, ...], classes: int) -> list[nn.Module]:
        """Networks that the weights may be of, the likeliest last."""
        if not self.model:
            if "spec" not in head.said:
                raise BadInput("The weights do not say what network they are of; name it as the teacher's model.")
            return [network(parse(head.said["spec"]), shape, classes)]
        knobs = check_knobs("model", self.model, _knobs(self.model, self.model_knobs))
        ours = build(Choice(name=self.model, knobs=knobs), shape, classes)
        return [_torchvision(str(knobs["name"]), classes), ours] if self.model == "torchvision" else [ours]


class _LocalLine:
    """The line to a network; it answers where the images are."""

    def __init__(self, reader: Reader, net: nn.Module, access: Access) -> None:
        self.reader, self.net, self.access = reader, net, access
        self.colour = not hasattr(net, "blocks")  # torchvision's own networks read three channels

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Answered:
        self.net.to(images.device)
        x = as_tensor(self.reader.fed(images)).to(images.device)
        told = [self._answer(part) for part in torch.split(x, BATCH)]
        return Answered(as_tensor(self.reader.told(torch.cat(told).cpu().numpy(), self.access)))

    def _answer(self, x: Tensor) -> Tensor:
        said = self.net(x.expand(-1, 3, -1, -1) if self.colour else x)
        logits: Tensor = said.logits if isinstance(said, Outputs) else said
        return logits.float()


def _head(path: Path) -> _Head:
    """Return the head of a file; its tensors are not read."""
    with (
        parsing(f"The safetensors file {path.name} is damaged", "upload it again"),
        safe_open(path, framework="pt") as stored,
    ):
        shapes = {name: list(stored.get_slice(name).get_shape()) for name in stored.keys()}  # noqa: SIM118
        prefix = _prefix(list(shapes))
        bare = {name.removeprefix(prefix): shape for name, shape in shapes.items()}
        return _Head(bare, prefix, stored.metadata() or {})


def _prefix(names: list[str], found: str = "") -> str:
    """Return what wrappers have put before all names."""
    further = next((one for one in WRAPPERS if names and all(name.startswith(found + one) for name in names)), "")
    return _prefix(names, found + further) if further else found


def _listed(head: _Head, name: str) -> list[Any]:
    """Return a list that stands in the head; [] where there is none."""
    try:
        found = read_json(head.said.get(name, "[]"))
    except ValueError:
        found = None
    if not isinstance(found, list):
        raise BadInput(f"The head of the weights says {name!r} but not as a list; upload a file that a run here wrote.")
    return found


def _knobs(model: str, text: str) -> dict[str, Any]:
    """Knobs from knob=value,knob=value; a value is JSON where it is some."""
    if text and not re.fullmatch(r"\w+=[^,]*(,\w+=[^,]*)*", text):
        raise BadInput(f"The knobs of {model!r} read knob=value,knob=value, but got {text[:60]!r}.")
    pairs = (part.partition("=") for part in text.split(",") if part)
    return {name: _value(value) for name, _, value in pairs}


def _value(text: str) -> Any:
    try:
        return read_json(text)
    except ValueError:
        return text


def _torchvision(name: str, classes: int) -> nn.Module:
    """Return a network of torchvision under its own names."""
    from torchvision import models

    net: nn.Module = models.get_model(name, weights=None, num_classes=classes)
    return net


def _filled(nets: list[nn.Module], path: Path, head: _Head) -> nn.Module:
    """Return the first network that the weights fit, with them, in eval mode and without gradients."""
    net = next((net for net in nets if not _misfit(net, head)), None)
    if net is None:
        reasons = [_misfit(net, head) for net in nets]
        raise BadInput(f"The weights do not fit the network: {' or '.join(reasons)}; choose its model and knobs.")
    net.load_state_dict({name.removeprefix(head.prefix): tensor for name, tensor in load_file(path).items()})
    return net.eval().requires_grad_(False)


def _misfit(net: nn.Module, head: _Head) -> str:
    """Return the first tensor in which a network and a file differ; "" where they agree."""
    for name, tensor in net.state_dict().items():
        if name not in head.shapes:
            return f"they have no tensor {name!r}"
        if head.shapes[name] != list(tensor.shape):
            return f"{name!r} is {_sizes(head.shapes[name])}, not {_sizes(tensor.shape)}"
    strange = next((name for name in head.shapes if name not in net.state_dict()), None)
    return f"{strange[:60]!r} has no place in it" if strange else ""


def _sizes(shape: Any) -> str:
    return "x".join(map(str, shape)) or "a single number"
