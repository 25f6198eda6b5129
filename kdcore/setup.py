"""What a run is made of: data, networks, method and optimiser, built from a spec on its device.

The seed decides the student's weights; neither a teacher nor a measure shifts the student's random numbers.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch
from torch import Tensor, nn

from kdcore.chance import mix
from kdcore.contracts import Batch, Dataset, Method, Outputs, Pair, Report, Shown, View
from kdcore.costs import cost
from kdcore.errors import BadInput
from kdcore.events import Started
from kdcore.measure import CHUNK, GRADIENT_ROWS, Arrays, Probe, gradients
from kdcore.net import Net, pooled, stage_shapes
from kdcore.optimize import Rule
from kdcore.registry import DATA, METHODS, MODELS, SOURCES
from kdcore.spec import Choice, Json, Spec, change
from kdcore.teachers.frozen import FrozenTeacher, load_weights

HELD = 0.1  # share of the training rows that a method which asks for "validation" never trains on
SMALL_STEP = 50_000_000  # multiply-adds in a batch under which one thread is faster than several; above it half
# of the cores work, because threads that outnumber free cores wait for each other: 20 times slower beside two others


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
    student = _build(spec.student, shape, classes)
    method = METHODS[spec.method.name](**spec.method.knobs)
    teacher = network(spec.teacher, shape, classes) if spec.teacher and "blocks" in method.needs else None
    return method.remodel(student, teacher)


def _build(choice: Choice, shape: tuple[int, ...], classes: int) -> Net:
    return MODELS[choice.name](**choice.knobs).build(shape, classes)


_LOADED: dict[tuple[str, Path], Dataset] = {}  # at most one: a teacher's data are mostly its student's


def _dataset(choice: Choice, folder: Path, report: Report) -> Dataset:
    """The data that a choice names, not read again where the last run of this process had the same."""
    key = choice.model_dump_json(), folder
    if key not in _LOADED:
        _LOADED.clear()
        _LOADED[key] = DATA[choice.name](**choice.knobs).load(folder, report)
    return _LOADED[key]


class Setup:
    """One run's parts.

    Args:
        spec: the settings in force; `set` replaces it.
        data_folder: where downloaded data sets live.
        teacher_weights: safetensors of the finished run of `spec.teacher`.
        mentor_weights: those of `spec.mentors`, in their order.
        report: told about long preparations.

    Raises:
        BadInput: the spec cannot be run here.
    """

    def __init__(
        self,
        spec: Spec,
        data_folder: Path,
        teacher_weights: Path | None,
        report: Report,
        mentor_weights: Sequence[Path] = (),
    ) -> None:
        self.spec = spec
        self.device = device_for(spec.device)
        torch.backends.cudnn.deterministic = True
        self._load(data_folder, report)
        self.method = METHODS[spec.method.name](**spec.method.knobs)
        self.learned, self.held = self._held_out()
        self.teacher = self._trained(spec.teacher, teacher_weights) if spec.teacher else None
        if len(mentor_weights) != len(spec.mentors):
            raise BadInput(f"This run needs the weights of {len(spec.mentors)} mentors, but got {len(mentor_weights)}.")
        mentors = [self._trained(*one) for one in zip(spec.mentors, mentor_weights, strict=True)]
        torch.manual_seed(spec.seed)
        self.student = self.method.remodel(self._net(spec.student), self._lent()).to(self.device)
        self.student_cost = cost(self.student, self.shape)
        self._choose_threads()
        self._build_modules()
        self.rule = Rule(spec.schedule, [weight for weight in self.modules.parameters() if weight.requires_grad])
        self.probe = Probe(self.data, self.student, self.teacher, self.normalise, self.device)
        self.answers = self._asked(self.teacher) if self.teacher and self.method.needs else None
        self.mentors = [self._asked(mentor) for mentor in mentors]

    def _load(self, data_folder: Path, report: Report) -> None:
        """Splits; the training rows on the device, pixels as uint8, normalised batch by batch."""
        self.data = _dataset(self.spec.data, data_folder, report)
        self.shape = tuple(self.data.train.x.shape[1:])
        self.source = SOURCES[self.spec.source.name](**self.spec.source.knobs)
        mean, std = torch.tensor(self.data.mean), torch.tensor(self.data.std)
        self.scale = (1 / (255 * std)).view(1, -1, 1, 1).to(self.device)
        self.shift = (-mean / std).view(1, -1, 1, 1).to(self.device)
        self.x = torch.from_numpy(self.data.train.x).to(self.device)
        self.y = torch.from_numpy(self.data.train.y).to(self.device)

    def _net(self, choice: Choice) -> Net:
        return _build(choice, self.shape, len(self.data.classes)).to(self.device)

    def _trained(self, spec: Spec, weights: Path | None) -> Net:
        if weights is None:
            raise BadInput("This run has a teacher, but its weights were not given; run its teacher first.")
        return load_weights(network(spec, self.shape, len(self.data.classes)).to(self.device), weights)

    def _lent(self) -> Net | None:
        """The teacher itself, for a method that works inside it."""
        return self.teacher if self.method.needs & {"blocks", "gradients"} else None

    def _choose_threads(self) -> None:
        work = self.student_cost.multiply_adds * self.spec.schedule.batch
        wish = os.environ.get("KDLAB_THREADS") or (1 if work < SMALL_STEP else max(1, (os.cpu_count() or 1) // 2))
        torch.set_num_threads(int(wish))

    def _build_modules(self) -> None:
        """All that learns: the student, and what the method needs beside it."""
        self.modules = nn.ModuleDict({"student": self.student})
        self.state = self.method.connect(self._pair())
        if self.state is not None:
            self.modules["state"] = self.state.to(self.device)
        self.modules.train()

    def _pair(self) -> Pair:
        return Pair(
            student=stage_shapes(self.student, self.shape),
            teacher=stage_shapes(self.teacher, self.shape) if self.teacher else (),
            classes=len(self.data.classes),
            labels=self.y,
            student_net=self.student,
            teacher_net=self._lent(),
            fresh=lambda: self._net(self.spec.student),
            answers=self._survey,
        )

    @torch.no_grad()
    def _survey(self) -> Outputs:
        """The teacher on all training rows as they are, features pooled."""
        assert self.teacher is not None
        asked = FrozenTeacher(self.teacher, self.spec.access, features=True)
        told = [asked(self.normalise(chunk)) for chunk in torch.split(self.x, CHUNK)]
        stages = zip(*([pooled(feature.float()) for feature in answer.features] for answer in told), strict=True)
        return Outputs(torch.cat([answer.logits for answer in told]), tuple(torch.cat(stage) for stage in stages))

    def _asked(self, net: Net) -> FrozenTeacher:
        """A teacher as the method may see it; answers it would repeat are asked for once."""
        asked = FrozenTeacher(net, self.spec.access, bool(self.method.needs & {"features", "blocks"}))
        if self.source.static and "mixing" not in self.method.asks:
            with self.autocast():
                asked.keep([self.normalise(chunk) for chunk in torch.split(self.x, CHUNK)], len(self.x))
        return asked

    def indices(self, start: int) -> Iterator[Tensor]:
        """The rows of the next batches, from step `start` on; rows held out for a method are left out."""
        spec, rows = self.spec, self.learned
        drawn = self.source.indices(len(rows), spec.schedule.batch, spec.seed, start, str(self.device))
        return drawn if len(rows) == len(self.y) else (rows[place] for place in drawn)

    def _held_out(self) -> tuple[Tensor, Tensor]:
        """Training rows to learn from, and those held out for a method that asks for "validation"."""
        rows = torch.arange(len(self.y), device=self.device)
        if "validation" not in self.method.asks:
            return rows, rows[:0]
        order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0)).to(self.device)
        held = max(1, round(HELD * len(rows)))
        return order[held:], order[:held]

    def normalise(self, x: Tensor) -> Tensor:
        """Raw rows as the networks read them: pixels scaled per channel, features as they are."""
        return x * self.scale + self.shift if x.dim() == 4 else x

    def autocast(self) -> AbstractContextManager[object]:
        """bf16 for the networks where the schedule asks for it."""
        bf16 = self.spec.schedule.precision == "bf16"
        return torch.autocast(self.device.type, torch.bfloat16) if bf16 else nullcontext()

    def batch(self, index: Tensor, step: int) -> Batch:
        """What the method is given at `step` for training rows `index` (B,)."""
        raw = self.source.transform(self.x[index], self.spec.seed, step)
        return self._composed(raw, self.y[index], index, step, known=True)

    def _composed(self, raw: Tensor, labels: Tensor, index: Tensor, step: int, known: bool) -> Batch:
        """A batch of raw rows; `known` says that `index` are the training rows they come from."""
        inputs = self.normalise(raw)
        with self.autocast():
            shown = self._shown(inputs, step)
            mine, theirs = (shown.student, shown.teacher) if shown else (inputs, inputs)
            if shown and shown.row is not None:
                labels, index = labels[shown.row], index[shown.row]
            return Batch(
                student=self.student(mine),
                teacher=_ask(self.answers, index if known else None, theirs) if self.answers else None,
                labels=labels,
                index=index,
                progress=step / self.spec.schedule.steps,
                inputs=mine,
                student_net=self.student,
                teacher_net=self._lent(),
                second=self._second(raw, labels, step) if "second_view" in self.method.asks else None,
                validation=self._validation(len(labels), step) if "validation" in self.method.asks else None,
                mentors=tuple(_ask(mentor, index if known else None, theirs) for mentor in self.mentors),
                shown=shown,
            )

    def _shown(self, inputs: Tensor, step: int) -> Shown | None:
        """What a method makes of the inputs, where it asks for a say."""
        if "mixing" not in self.method.asks:
            return None
        generator = torch.Generator().manual_seed(mix(self.spec.seed, step, salt=3))
        return self.method.show(inputs, generator, self.answers or self._unasked)

    def _unasked(self, inputs: Tensor) -> Outputs:
        raise BadInput("This method shows inputs to a teacher, but the run has none; add a teacher.")

    def _second(self, raw: Tensor, labels: Tensor, step: int) -> View:
        """The same rows under strong augmentation."""
        inputs = self.normalise(self.source.strengthen(raw, self.spec.seed, step))
        return View(self.student(inputs), self.answers(inputs) if self.answers else None, labels)

    def _validation(self, count: int, step: int) -> View:
        """Held-out rows, answered in eval mode, so that they leave no trace in the student's statistics."""
        rows = self.held
        generator = torch.Generator().manual_seed(mix(self.spec.seed, step, salt=4))
        index = rows[torch.randint(len(rows), (count,), generator=generator).to(self.device)]
        training = self.student.training
        outputs = self.student.eval()(self.normalise(self.x[index]))
        self.student.train(training)
        return View(outputs, None, self.y[index])

    def measured(self, step: int) -> Arrays:
        """One frame: answers on the probe set, the field, the tug of the loss terms, and the method's own arrays."""
        index = torch.arange(min(GRADIENT_ROWS, len(self.y)), device=self.device)
        with torch.random.fork_rng(devices=[]):
            tug = gradients(
                self.modules,
                self.student,
                lambda: self.method.terms(
                    self._composed(self.x[index], self.y[index], index, step, known=True), self.state
                ),
            )
            return {**self.probe.frame(step), **tug, **self._observed(step)}

    @torch.no_grad()
    def _observed(self, step: int) -> Arrays:
        """What the method shows of itself on the probe rows, as own_<name>."""
        if type(self.method).observe is Method.observe:
            return {}
        labels = torch.from_numpy(self.probe.static["probe_labels"]).to(self.device)
        self.modules.eval()
        batch = self._composed(self.probe.x, labels, torch.zeros_like(labels), step, known=False)
        found = self.method.observe(batch, self.state)
        self.modules.train()
        return {f"own_{name}": array.float().cpu().numpy() for name, array in found.items()}

    def conclude(self) -> None:
        """Let the method have the last word on the student's weights."""
        self.method.conclude(self.student, self.state, (self.normalise(chunk) for chunk in torch.split(self.x, CHUNK)))

    def set(self, path: str, value: Json) -> tuple[Json, Json]:
        """Change one setting from the next step on; the value before and after."""
        section, _, key = path.partition(".")
        before, self.spec = self.spec, change(self.spec, path, value)
        if section == "method":
            self.method = METHODS[self.spec.method.name](**self.spec.method.knobs)
            return before.method.knobs[key], self.spec.method.knobs[key]
        self.rule.schedule = self.spec.schedule
        return getattr(before.schedule, key), getattr(self.spec.schedule, key)

    def started(self, step: int, teacher_run: str | None, mentor_runs: Sequence[str] = ()) -> Started:
        """The first event."""
        splits = {"train": self.data.train, "val": self.data.val, "test": self.data.test}
        return Started(
            step=step,
            steps=self.spec.schedule.steps,
            device=str(self.device),
            torch=torch.__version__,
            classes=self.data.classes,
            rows={name: len(split.y) for name, split in splits.items()},
            student=self.student_cost,
            teacher=cost(self.teacher, self.shape) if self.teacher else None,
            teacher_run=teacher_run,
            mentor_runs=tuple(mentor_runs),
        )


def _ask(asked: FrozenTeacher, index: Tensor | None, inputs: Tensor) -> Outputs:
    """A teacher's answer to inputs: recalled where it was kept for training rows `index`."""
    return asked.recall(index) if index is not None and asked.kept else asked(inputs)
