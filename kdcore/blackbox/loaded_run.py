"""One run's networks and images, set up again to be looked at: nothing learns, and nobody is asked unless told to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from kdcore.blackbox.manual_queries import ByHand
from kdcore.contracts.data import silent
from kdcore.contracts.net import Net
from kdcore.contracts.outputs import Outputs
from kdcore.engine import checkpoint
from kdcore.engine.build import dataset, network
from kdcore.engine.checkpoint import load_weights
from kdcore.engine.measure import probe_rows
from kdcore.engine.teacher import Teacher
from kdcore.engine.teacher_access import worsened
from kdcore.errors import BadInput
from kdcore.generation.networks import Making
from kdcore.generation.source import Maker, Scene
from kdcore.nn.pixels import Pixels
from kdcore.runs.by_hand import by_hand
from kdcore.runs.record import read_arrays, stamp_of
from kdcore.runs.spare import RowCounts
from kdcore.spec.catalogue import home
from kdcore.spec.registry import METHODS, SOURCES
from kdcore.spec.spec import Spec

CYCLED = 128  # probe rows of which cycle accuracy is told


class Weights(NamedTuple):
    """What a run has learned so far."""

    stamp: int  # changes when they do
    step: int | None  # None at its end
    student: dict[str, Tensor]
    source: dict[str, Tensor]


class Bench:
    """One run's networks and images, ready to be looked at.

    Args:
        spec: the run's.
        folder: the run's.
        teacher: safetensors of its teacher's run, where there are any.
        weights: what the run has learned.

    Raises:
        BadInput: data or weights cannot be read.
    """

    def __init__(self, spec: Spec, folder: Path, teacher: Path | None, weights: Weights) -> None:
        self.spec, self.folder, self.step = spec, folder, weights.step
        data = dataset(spec.data, home() / "data", silent)
        self.classes, self.shape = data.classes, tuple(data.train.x.shape[1:])
        self.statistics = data.mean, data.std
        self.scale = Pixels(data.mean, data.std)
        order = probe_rows(len(data.val.y)).numpy()
        self.probe, self.labels = torch.from_numpy(data.val.x[order]), data.val.y[order].tolist()
        self.images = {"local": torch.from_numpy(data.train.x), "held out": torch.from_numpy(data.val.x)}
        self.told = read_arrays(folder / "static.npz").get("teacher_logits")
        self.teacher_net = self._network(spec.teacher, teacher)
        if spec.teacher and spec.teacher.data != spec.data:
            known = dataset(spec.teacher.data, home() / "data", silent)
            self.images["training"] = torch.from_numpy(known.train.x)
        self.student = self._student(weights)
        self.source = SOURCES[spec.source.name](**spec.source.knobs)
        self.making = self._making(weights) if isinstance(self.source, Maker) else None
        self.method = METHODS[spec.method.name](**spec.method.knobs)
        rows = RowCounts(len(self.classes), len(data.train.x), len(data.test.x))
        self.by_hand = ByHand(spec, folder, self.shape, rows, self.scale) if spec.service else None
        self._cycle: float | None = None

    def _network(self, spec: Spec | None, weights: Path | None) -> Net | None:
        if spec is None or weights is None:
            return None
        return load_weights(network(spec, self.shape, len(self.classes)), weights, *self.statistics)

    def _student(self, weights: Weights) -> Net:
        student = network(self.spec, self.shape, len(self.classes))
        student.load_state_dict(weights.student)
        return student.eval().requires_grad_(False)

    def _making(self, weights: Weights) -> Making:
        assert isinstance(self.source, Maker)
        scene = Scene(
            x=self.images["local"],
            classes=len(self.classes),
            seed=self.spec.seed,
            access=self.spec.access,
            inputs=self.inputs,
            ask=_unasked,
            student=self.student,
            teacher_net=self.teacher_net,
        )
        making = self.source.build(scene)
        making.load_state_dict(weights.source)
        making.eval().requires_grad_(False)
        return making

    # What is looked at

    def inputs(self, images: Tensor) -> Tensor:
        """Images (B, K, H, W) in [-1, 1] as the networks read them."""
        return self.scale.made(images)

    def row(self, row: int) -> Tensor:
        """A probe image (1, K, H, W) in [-1, 1].

        Raises:
            BadInput: there is none of that number.
        """
        if not 0 <= row < len(self.probe):
            raise BadInput(f"Probe images are numbered 0 to {len(self.probe) - 1}, but got {row}; choose one of them.")
        return self.probe[row : row + 1].float() / 127.5 - 1

    def latent(self, latent: list[float]) -> Tensor:
        """The image (1, K, H, W) in [-1, 1] that the source makes of a latent (C,).

        Raises:
            BadInput: the source makes no image of one, or the latent has another length.
        """
        if not self.samples or len(latent) != len(self.classes):
            raise BadInput(
                f"An image is made of {len(self.classes)} numbers by a source such as 'mekd', but got {len(latent)} "
                f"for source {self.spec.source.name!r}; look at a probe image."
            )
        assert isinstance(self.source, Maker)
        assert self.making is not None
        return self.source.sample(self.making, torch.tensor([latent]))

    @property
    def samples(self) -> bool:
        """Whether images are made of latents that anybody may choose."""
        return isinstance(self.source, Maker) and type(self.source).sample is not Maker.sample

    @property
    def inverts(self) -> bool:
        """Whether there is an image for any answer."""
        return isinstance(self.source, Maker) and self.source.inverts

    def inverse(self, logits: Tensor) -> Tensor:
        """The images (B, K, H, W) in [-1, 1] that stand for logits (B, C)."""
        assert isinstance(self.source, Maker)
        assert self.making is not None
        return self.source.invert(self.making, logits)

    # Who answers

    def teachers(self, image: Tensor, row: int | None, ask: bool) -> Tensor | None:
        """The teacher's answer (1, C) through its wall; None where nobody may be asked for nothing."""
        if self.teacher_net:
            return self.through_wall(self.teacher_net, image)
        if row is not None and self.told is not None:
            return torch.from_numpy(self.told[row : row + 1]).float()
        if self.by_hand is None:
            return None
        inputs = self.inputs(image) if row is None else self.scale.normalised(self.probe[row : row + 1])
        known = ask or not self.by_hand.missing(inputs)
        return self.by_hand.answers(inputs, real=row is not None or self.source_is_local) if known else None

    @property
    def source_is_local(self) -> bool:
        """Whether what the source makes shows local images."""
        return isinstance(self.source, Maker) and self.source.local

    @property
    def asked(self) -> int:
        """How many images somebody else's teacher was asked about by hand."""
        return by_hand(self.folder, len(self.classes)).images

    def through_wall(self, net: Net, images: Tensor) -> Tensor:
        """Answers (B, C) of a network of ours, worsened as its wall has it."""
        logits = Teacher(net, self.spec.access)(self.inputs(images)).logits
        wall = self.spec.wall
        if wall is None or self.spec.access != "probabilities" or not (wall.noise or wall.top or wall.digits):
            return logits
        return worsened(logits, wall, torch.Generator().manual_seed(self.spec.seed))

    @property
    def cycle(self) -> float | None:
        """Share of probe rows whose answer's image gets the same answer; None where that cannot be told freely."""
        if self._cycle is None and self.inverts and self.teacher_net:
            first = self.through_wall(self.teacher_net, self.probe[:CYCLED].float() / 127.5 - 1)
            second = self.through_wall(self.teacher_net, self.inverse(first))
            self._cycle = float((first.argmax(1) == second.argmax(1)).float().mean())
        return self._cycle


def _unasked(*_: object) -> Outputs:
    raise BadInput("Nobody is asked while a run is only looked at.")


def weights_of(folder: Path) -> Weights:
    """What a run has learned so far.

    Raises:
        BadInput: nothing was kept yet, or it is damaged.
    """
    stamp, ended, made = stamp_of(folder), folder / "student.safetensors", folder / "source.safetensors"
    try:
        if ended.exists():
            return Weights(stamp, None, load_file(ended), load_file(made) if made.exists() else {})
    except (OSError, SafetensorError) as error:
        raise BadInput(f"The weights in {folder} cannot be read ({error}); run it again.") from error
    newest = checkpoint.newest(folder)
    if newest is None:
        raise BadInput("This run has kept no weights yet; look again after its first checkpoint.")
    return Weights(stamp, newest.step, *(_below(newest.tensors, f"modules.{part}.") for part in ("student", "source")))


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
