"""What a distillation method must be. No torch is imported here: the types only name it.

Shapes: B samples, C classes, K channels, N rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

from kdcore.contracts.access import Grant
from kdcore.contracts.knobs import Knobs
from kdcore.contracts.outputs import Outputs

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

    from kdcore.contracts.net import Net


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
JOINS: dict[Joins, str] = {  # see `kdcore.spec.compatibility`
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


class ViewOutputs(NamedTuple):
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
    second: ViewOutputs | None = None  # the same rows under strong augmentation; asks "second_view"
    validation: ViewOutputs | None = None  # other rows, never trained on; asks "validation"; its teacher is None
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

    `terms`, `metrics` and `arrays` change nothing: they are also called on rows that are only looked at, with the
    networks in eval mode. What a method remembers is tensors in the buffers of `state`, written by `after_step` alone.
    None of them makes the host wait for the device: no `.item()`, no boolean index, no branch on a tensor.
    """

    family: ClassVar[str]  # one of FAMILIES
    equation: ClassVar[str]  # LaTeX
    symbols: ClassVar[dict[str, str]] = {}  # of the equation, in LaTeX: those that are knobs, by the knob's name
    paper: ClassVar[str]  # authors, title, venue and year
    needs: ClassVar[frozenset[Grant]] = frozenset()  # of the teacher
    asks: ClassVar[frozenset[Ask]] = frozenset()  # of the engine
    joins: ClassVar[Joins] = "any"  # which networks it can join
    lineage: ClassVar[Lineage] = "teacher"  # which other runs come before this one
    rate: ClassVar[float] = 1.0  # of a data set's learning rate of SGD that suits it, where its loss is steep
    fixed: ClassVar[frozenset[str]] = frozenset()  # knobs that are read before training, so they cannot change in it

    def adapt_student(self, student: Net, teacher: Net | None) -> Net:
        """Return the network to train, evaluate and save in place of `student`; by default `student` itself.

        It must not depend on the values of the weights, as it is rebuilt before weights are loaded. Parameters of the
        teacher that it takes over stay frozen. `teacher` is given where "blocks" are needed.
        """
        return student

    def wrap_teacher(self, teacher: Net) -> Net:
        """Wrap the teacher for the loss: same weights, perhaps other stages; by default `teacher` itself."""
        return teacher

    def wrap_student(self, student: Net) -> Net:
        """Wrap the student for the loss: same weights, perhaps other stages; by default `student` itself.

        The unwrapped student is what is evaluated and saved.
        """
        return student

    def connect(self, pair: Pair) -> nn.Module | None:
        """Build what the method trains beside the student (parameters) and what it remembers (buffers).

        Raises:
            BadInput: the two networks cannot be joined.
        """
        return None

    def mix_inputs(self, inputs: Tensor, generator: Generator, teacher: Callable[[Tensor], Outputs]) -> Shown:
        """Return what both networks see in place of the batch's inputs; called where "mixing" is in `asks`.

        Args:
            inputs: (B, ...), normalised.
            generator: on the CPU, seeded by run and step; the only source of randomness.
            teacher: the teacher's outputs for any inputs.
        """
        raise NotImplementedError

    def terms(self, batch: Batch, state: nn.Module | None) -> dict[str, Term]:
        """Return the summands of the loss of one batch by name; `state` is what `connect` returned."""
        raise NotImplementedError

    def metrics(self, batch: Batch, state: nn.Module | None) -> dict[str, Tensor]:
        """Return scalars to log at every step, such as how often a repair fires; called without gradients."""
        return {}

    def after_step(self, batch: Batch, state: nn.Module | None) -> None:
        """Update the buffers of `state` after the optimiser step on this batch; called without gradients."""

    def arrays(self, batch: Batch, state: nn.Module | None) -> dict[str, Tensor]:
        """Return arrays (N, ...) of N probe rows for this method's panels; called in eval mode without gradients."""
        return {}

    def finalize(self, student: Net, state: nn.Module | None, inputs: Iterable[Tensor]) -> None:
        """Change the student's weights once, after the last step; `inputs` are batches of training rows."""


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
