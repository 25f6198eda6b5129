"""What a method, a model, a data set and a source must be. No torch is imported here: the types only name it.

Shapes: B samples, C classes, K channels, N rows. A thing's settings ("knobs") are the fields of a frozen pydantic
model, each with a default, bounds and one line of description; form, command line and docs follow from them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import Field

from kdcore.frozen import FrozenModel

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

    from kdcore.net import Net

Grant = Literal["labels", "probabilities", "logits", "features", "blocks", "gradients"]
Access = Literal["white_box", "logits", "probabilities", "labels"]
GRANTS: dict[Access, frozenset[Grant]] = {
    "white_box": frozenset({"labels", "probabilities", "logits", "features", "blocks", "gradients"}),
    "logits": frozenset({"labels", "probabilities", "logits"}),
    "probabilities": frozenset({"labels", "probabilities"}),
    "labels": frozenset({"labels"}),
}


Ask = Literal["second_view", "validation", "mixing", "rows", "inverse"]
ASKS: dict[Ask, str] = {
    "second_view": "a second, strongly augmented view of each image",
    "validation": "labelled rows that are kept apart from training",
    "mixing": "its own say in what the networks are shown",
    "rows": "training rows that come again, of which it remembers something",
    "inverse": "a source whose generator makes images of logits",
}
OF_ROWS: frozenset[Ask] = frozenset(
    {"second_view", "validation", "rows"}
)  # not to be had of images that a source makes
Joins = Literal["any", "places", "maps", "last_map", "blocks"]
JOINS: dict[Joins, str] = {  # see `kdcore.fit`
    "any": "any two networks",
    "places": "two networks with stages of several positions",
    "maps": "two networks with maps among their stages",
    "last_map": "two networks whose last stage is a map",
    "blocks": "a student whose stages are maps where the teacher's are",
}
Lineage = Literal["teacher", "generations", "assistants", "peers", "copies"]
LINEAGES: dict[Lineage, str] = {  # all but the first are the name of the knob that counts
    "teacher": "one teacher, or none",
    "generations": "each generation of the student teaches the next",
    "assistants": "networks between teacher and student in size, each taught by the one before",
    "peers": "more mentors, between student and teacher in size",
    "copies": "more teachers, trained with other seeds",
}


class Knobs(FrozenModel):
    """Settings of one registered thing; unknown keys are refused and nothing changes afterwards."""

    title: ClassVar[str]


class Outputs(NamedTuple):
    """What a network says about a batch."""

    logits: Tensor  # (B, C)
    features: tuple[Tensor, ...]  # per stage (B, K, H, W) or (B, K)


class View(NamedTuple):
    """What the networks say about other inputs than the batch's own."""

    student: Outputs
    teacher: Outputs | None
    labels: Tensor  # (B,)


class Shown(NamedTuple):
    """What a method that asks for "mixing" shows the two networks in place of a batch's inputs."""

    student: Tensor  # (B, ...) normalised inputs
    teacher: Tensor  # (B, ...)
    partner: Tensor  # (B,) int64, the row of the batch that is mixed in; the row itself where nothing is
    share: Tensor  # (B,) float32, how much of a row is its own; 1 where nothing is mixed in
    row: Tensor | None = None  # (B',) int64, where B' rows are shown: the row of the batch that each is made of


class Batch(NamedTuple):
    """What a method is given at one step. The optional parts are there where the method needs or asks for them."""

    student: Outputs
    teacher: Outputs | None  # detached; None when the method needs no teacher
    labels: Tensor  # (B,) int64, -1 where the sample is unlabelled
    index: Tensor  # type: ignore[assignment]  # (B,) int64, row in the training split
    progress: float  # share of the run that is done, in [0, 1)
    inputs: Tensor  # (B, ...) normalised, as the student was shown them
    student_net: Net
    teacher_net: Net | None = None  # frozen, lets gradients through; where "blocks" or "gradients" are needed
    second: View | None = None  # the same rows under strong augmentation; asks "second_view"
    validation: View | None = None  # other rows, never trained on; asks "validation"; its teacher is None
    mentors: tuple[Outputs, ...] = ()  # detached answers of further teachers; lineage "peers" or "copies"
    shown: Shown | None = None  # how the inputs were mixed; asks "mixing"
    invert: Callable[[Tensor], Tensor] | None = None  # logits (B, C) to images (B, K, H, W) in [-1, 1]; asks "inverse"

    @property
    def targets(self) -> Tensor:
        """(B,) labels, with the teacher's answer where the sample is unlabelled."""
        if self.teacher is None:
            return self.labels
        return self.labels.where(self.labels >= 0, self.teacher.logits.argmax(1))


class Term(NamedTuple):
    """One summand of the loss: training minimises the sum of weight * value."""

    weight: float
    value: Tensor  # scalar


class Pair(NamedTuple):
    """What a method may know of the networks and the training rows before training."""

    student: tuple[tuple[int, ...], ...]  # per stage (K, H, W) or (K,), without a batch dimension
    teacher: tuple[tuple[int, ...], ...]  # () where there is no teacher
    classes: int
    labels: Tensor  # (N,) int64 of the training rows, -1 where unlabelled
    student_net: Net
    teacher_net: Net | None  # where "blocks" or "gradients" are needed
    fresh: Callable[[], Net]  # another network like the student, newly initialised
    answers: Callable[
        [], Outputs
    ]  # the teacher on all training rows as they are: logits (N, C), features pooled (N, K)
    shown: Tensor | None = None  # (P,) int64, the training rows that the source ever shows
    inputs: Callable[[Tensor], Tensor] | None = None  # training rows (B,) as the networks read them (B, ...)
    ask: Callable[[Tensor, bool], Outputs] | None = None  # the teacher on any inputs; whether they show local images
    budget: int = 0  # most images that learning may ask about in all; 0 where there is no limit

    def targets(self, answers: Outputs) -> Tensor:
        """(N,) labels, with the teacher's answer where the row is unlabelled."""
        return self.labels.where(self.labels >= 0, answers.logits.argmax(1))


class Method(Knobs):
    """A distillation method: its knobs, what it needs of a teacher, and the terms of its loss.

    The file's docstring starts with one sentence and holds the paragraphs `Source:`, `Departs from it:` and
    `Zero when:`. A term named "labels" is the one that reads true labels; all others distil.

    `terms`, `notes` and `observe` change nothing: they are also called on rows that are only looked at, with the
    networks in eval mode. What a method remembers is tensors in the buffers of `state`, written by `settle` alone.
    None of them makes the host wait for the device: no `.item()`, no boolean index, no branch on a tensor.
    """

    family: ClassVar[str]  # one of FAMILIES
    equation: ClassVar[str]  # LaTeX
    paper: ClassVar[str]  # authors, title, venue and year
    needs: ClassVar[frozenset[Grant]] = frozenset()  # of the teacher
    asks: ClassVar[frozenset[Ask]] = frozenset()  # of the engine
    joins: ClassVar[Joins] = "any"  # which networks it can join
    lineage: ClassVar[Lineage] = "teacher"  # which other runs come before this one
    rate: ClassVar[float] = 1.0  # of a data set's learning rate of SGD that suits it, where its loss is steep
    fixed: ClassVar[frozenset[str]] = frozenset()  # knobs that are read before training, so they cannot change in it

    def remodel(self, student: Net, teacher: Net | None) -> Net:
        """The network that is trained, measured and kept in the place of `student`; itself by default.

        It must not depend on the values of the weights, as it is rebuilt before weights are loaded. Parameters of the
        teacher that it takes over stay frozen. `teacher` is given where "blocks" are needed.
        """
        return student

    def reread(self, teacher: Net) -> Net:
        """The teacher as this method reads it: of the same weights, perhaps cut elsewhere; itself by default."""
        return teacher

    def read(self, student: Net) -> Net:
        """The student as this method reads it: of the same weights, perhaps cut elsewhere; itself by default.

        What is measured and kept is the student as it is.
        """
        return student

    def connect(self, pair: Pair) -> nn.Module | None:
        """What the method needs beside the two networks: what it trains with the student, and what it remembers.

        Raises:
            BadInput: the two networks cannot be joined.
        """
        return None

    def show(self, inputs: Tensor, generator: Generator, teacher: Callable[[Tensor], Outputs]) -> Shown:
        """What the networks are shown in place of the normalised inputs (B, ...); called where "mixing" is asked for.

        Args:
            inputs: (B, ...).
            generator: on the CPU, seeded by run and step; the only source of chance.
            teacher: the teacher's answer to any inputs.
        """
        raise NotImplementedError

    def terms(self, batch: Batch, state: nn.Module | None) -> dict[str, Term]:
        """The loss of one batch, by the name of each term; `state` is what `connect` returned."""
        raise NotImplementedError

    def notes(self, batch: Batch, state: nn.Module | None) -> dict[str, Tensor]:
        """Scalars worth following, such as how often a repair fires; called without gradients at every step."""
        return {}

    def settle(self, batch: Batch, state: nn.Module | None) -> None:
        """Remember, after the update that this batch led to; called without gradients at every step."""

    def observe(self, batch: Batch, state: nn.Module | None) -> dict[str, Tensor]:
        """Arrays (N, ...) for the panels of this method, for the N probe rows, without gradients in eval mode."""
        return {}

    def conclude(self, student: Net, state: nn.Module | None, inputs: Iterable[Tensor]) -> None:
        """The last word on the student's weights, after the last step; `inputs` are batches of training rows."""


FAMILIES = {
    "baseline": "Baselines",
    "temperature": "Temperature and normalisation",
    "repair": "The teacher is wrong",
    "logits": "Logits",
    "self": "Self-distillation",
    "features": "Features",
    "relations": "Relations between samples",
    "blocks": "Block-wise",
    "teachers": "Several teachers",
    "data": "What the networks are shown",
    "black box": "Black box",
}


class Model(Knobs):
    """A family of networks; a knob of type Literal picks its member, so that every choice can be costed."""

    family: ClassVar[str]

    def build(self, shape: tuple[int, ...], classes: int) -> Net:
        """A freshly initialised network for inputs of `shape` (K, H, W) or (F,).

        Raises:
            BadInput: the family cannot read inputs of that shape.
        """
        raise NotImplementedError


class Split(NamedTuple):
    """Rows of one split."""

    x: np.ndarray  # (N, K, H, W) uint8, or (N, F) float32
    y: np.ndarray  # (N,) int64, -1 where unlabelled


class Dataset(NamedTuple):
    """A loaded data set. Pixels are 0..255; a network sees (x/255 - mean) / std, features as they are."""

    train: Split
    val: Split  # apart from train and test; never trained on
    test: Split
    classes: tuple[str, ...]
    mean: tuple[float, ...]  # per channel, of x/255 over the training rows before `train_fraction`; empty for features
    std: tuple[float, ...]
    clean_train_y: np.ndarray  # (N,) the training labels before noise and hiding


class Recipe(NamedTuple):
    """Settings that suit a data set on two cores; knobs not named keep their defaults."""

    teacher: tuple[str, dict[str, object]]
    student: tuple[str, dict[str, object]]
    teacher_schedule: dict[str, object]
    schedule: dict[str, object]
    augment: str = "none"


Report = Callable[[str, float], None]  # what is being done, and the share that is done


def silent(what: str, share: float) -> None:
    """A `Report` for callers that show nothing."""


class Data(Knobs):
    """A data set with the four troubles every one can have; `load` does the same for all, `raw` is the set's own."""

    family: ClassVar[Literal["2-D toy", "image"]]
    recipe: ClassVar[Recipe]
    label_noise: float = Field(0.0, ge=0.0, le=0.9, description="Share of training labels replaced by another class.")
    label_fraction: float = Field(
        1.0, ge=0.0, le=1.0, description="Share of training samples that keep their label; 0 hides all of them."
    )
    train_fraction: float = Field(1.0, gt=0.0, le=1.0, description="Share of the training samples that is used.")
    validation: float = Field(0.1, ge=0.01, le=0.5, description="Share of the training samples held out to validate.")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="Seed of sampling, noise and splits.")

    def signature(self) -> tuple[tuple[int, ...], int]:
        """Shape of one input, (K, H, W) or (F,), and the number of classes, without loading anything."""
        raise NotImplementedError

    def ready(self) -> None:
        """Make sure before a run that all is given that a person must give.

        Raises:
            BadInput: something is missing, such as the path of a folder.
        """

    def load(self, folder: Path, report: Report = silent) -> Dataset:
        """Read or make the data; files of downloadable sets live below `folder`.

        Raises:
            BadInput: files are absent or damaged, or a class is too small to be split.
        """
        raise NotImplementedError


class Source(Knobs):
    """Where the next batch comes from. Everything it draws is a function of seed and step, so a resumed run repeats."""

    @property
    def static(self) -> bool:
        """Whether a training row looks the same each time, so that the teacher's answer may be kept."""
        raise NotImplementedError

    def indices(self, rows: int, batch: int, seed: int, start: int, device: str) -> Iterator[Tensor]:
        """From step `start` on, forever: the rows (B,) int64 of the next batch, on `device`."""
        raise NotImplementedError

    def drawn(self, rows: int, seed: int) -> Tensor | None:
        """The places (P,) int64 among `rows` that `indices` ever shows, ascending; None where it shows them all."""
        return None

    def transform(self, x: Tensor, seed: int, step: int) -> Tensor:
        """The batch as it is shown at `step`: (B, ...) in the data's own dtype, on its device."""
        raise NotImplementedError

    def strengthen(self, x: Tensor, seed: int, step: int) -> Tensor:
        """A second, strongly augmented view of what `transform` gave, of the same shape and dtype."""
        raise NotImplementedError


class Command(NamedTuple):
    """One wish of a person about a run that is under way."""

    name: Literal["pause", "resume", "step", "set", "speed", "cancel"]
    value: object = None  # step: how many; set: {path: value}; speed: steps per second or None


class Audience(NamedTuple):
    """How often somebody looks, in frames per second; 0 is nobody."""

    frames_hz: float = 0.0
    field_hz: float = 0.0


class Desk:
    """What the loop asks of whoever started it. This one has no wishes and shows nothing."""

    def commands(self) -> list[Command]:
        """Wishes since the last call; asked between optimiser steps, so it must not block."""
        return []

    def audience(self) -> Audience:
        """Who is looking now."""
        return Audience()

    def show(self, channel: Literal["frame", "field"], arrays: dict[str, np.ndarray]) -> None:
        """Put arrays where those who look find them; the latest wins."""
