"""What a run is made of: data, networks, method and optimiser, built from a spec on its device.

The seed decides the student's weights; neither the teacher nor a measure shifts the student's random numbers.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch
from torch import Tensor, nn

from kdcore.contracts import Batch, Dataset, Outputs, Report
from kdcore.costs import cost
from kdcore.errors import BadInput
from kdcore.events import Started
from kdcore.measure import CHUNK, GRADIENT_ROWS, Arrays, Probe, gradients
from kdcore.net import Net, shapes
from kdcore.optimize import Rule
from kdcore.registry import DATA, METHODS, MODELS, SOURCES
from kdcore.spec import Choice, Json, Spec, change
from kdcore.teachers.frozen import FrozenTeacher, load_weights

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


class Setup:
    """One run's parts.

    Args:
        spec: the settings in force; `set` replaces it.
        data_folder: where downloaded data sets live.
        teacher_weights: safetensors of the finished run of `spec.teacher`.
        report: told about long preparations.

    Raises:
        BadInput: the spec cannot be run here.
    """

    def __init__(self, spec: Spec, data_folder: Path, teacher_weights: Path | None, report: Report) -> None:
        self.spec = spec
        self.device = device_for(spec.device)
        torch.backends.cudnn.deterministic = True
        self._load(data_folder, report)
        torch.manual_seed(spec.seed)
        self.student = self._net(spec.student)
        self.method = METHODS[spec.method.name](**spec.method.knobs)
        self.teacher = self._teacher(teacher_weights) if spec.teacher else None
        self.student_cost = cost(self.student, self.shape)
        self._choose_threads()
        self._build_modules()
        self.rule = Rule(spec.schedule, self.modules.parameters())
        self.probe = Probe(self.data, self.student, self.teacher, self.normalise, self.device)
        self.answers = self._answers()

    def _load(self, data_folder: Path, report: Report) -> None:
        """Splits; the training rows on the device, pixels as uint8, normalised batch by batch."""
        self.data: Dataset = DATA[self.spec.data.name](**self.spec.data.knobs).load(data_folder, report)
        self.shape = tuple(self.data.train.x.shape[1:])
        self.source = SOURCES[self.spec.source.name](**self.spec.source.knobs)
        mean, std = torch.tensor(self.data.mean), torch.tensor(self.data.std)
        self.scale = (1 / (255 * std)).view(1, -1, 1, 1).to(self.device)
        self.shift = (-mean / std).view(1, -1, 1, 1).to(self.device)
        self.x = torch.from_numpy(self.data.train.x).to(self.device)
        self.y = torch.from_numpy(self.data.train.y).to(self.device)

    def _net(self, choice: Choice) -> Net:
        return MODELS[choice.name](**choice.knobs).build(self.shape, len(self.data.classes)).to(self.device)

    def _teacher(self, weights: Path | None) -> Net:
        assert self.spec.teacher is not None
        if weights is None:
            raise BadInput("This run has a teacher, but its weights were not given; run its teacher first.")
        with torch.random.fork_rng(devices=[]):
            return load_weights(self._net(self.spec.teacher.student), weights)

    def _choose_threads(self) -> None:
        work = self.student_cost.multiply_adds * self.spec.schedule.batch
        wish = os.environ.get("KDLAB_THREADS") or (1 if work < SMALL_STEP else max(1, (os.cpu_count() or 1) // 2))
        torch.set_num_threads(int(wish))

    def _build_modules(self) -> None:
        """All that learns: the student, and what joins it to the teacher."""
        self.modules = nn.ModuleDict({"student": self.student})
        self.state: nn.Module | None = None
        if self.teacher and self.method.needs:
            self.state = self.method.connect(shapes(self.student, self.teacher, self.shape, len(self.data.classes)))
        if self.state is not None:
            self.modules["state"] = self.state.to(self.device)
        self.modules.train()

    def _answers(self) -> FrozenTeacher | None:
        """The teacher as the method may see it; answers it would repeat are asked for once."""
        if self.teacher is None or not self.method.needs:
            return None
        asked = FrozenTeacher(self.teacher, self.spec.access, bool(self.method.needs & {"features", "blocks"}))
        if self.source.static:
            with self.autocast():
                asked.keep([self.normalise(chunk) for chunk in torch.split(self.x, CHUNK)], len(self.x))
        return asked

    def normalise(self, x: Tensor) -> Tensor:
        """Raw rows as the networks read them: pixels scaled per channel, features as they are."""
        return x * self.scale + self.shift if x.dim() == 4 else x

    def autocast(self) -> AbstractContextManager[object]:
        """bf16 for the networks where the schedule asks for it."""
        bf16 = self.spec.schedule.precision == "bf16"
        return torch.autocast(self.device.type, torch.bfloat16) if bf16 else nullcontext()

    def ask(self, index: Tensor, inputs: Tensor) -> Outputs | None:
        """The teacher's answer to rows `index` (B,), or None when the method asks for none."""
        if self.answers is None:
            return None
        return self.answers.recall(index) if self.answers.kept else self.answers(inputs)

    def batch(self, index: Tensor, step: int) -> Batch:
        """What the method is given at `step` for training rows `index` (B,)."""
        inputs = self.normalise(self.source.transform(self.x[index], self.spec.seed, step))
        with self.autocast():
            teacher, student = self.ask(index, inputs), self.student(inputs)
        return Batch(student, teacher, self.y[index], index, step / self.spec.schedule.steps)

    def measured(self, step: int) -> Arrays:
        """One frame: answers on the probe set, the field, and the tug of the loss terms on fixed rows."""
        index = torch.arange(min(GRADIENT_ROWS, len(self.y)), device=self.device)
        inputs = self.normalise(self.x[index])
        progress = step / self.spec.schedule.steps
        with torch.random.fork_rng(devices=[]):
            teacher = self.ask(index, inputs)
            tug = gradients(
                self.student,
                self.state,
                inputs,
                lambda student: self.method.terms(Batch(student, teacher, self.y[index], index, progress), self.state),
            )
        return {**self.probe.frame(step), **tug}

    def set(self, path: str, value: Json) -> tuple[Json, Json]:
        """Change one setting from the next step on; the value before and after."""
        section, _, key = path.partition(".")
        before, self.spec = self.spec, change(self.spec, path, value)
        if section == "method":
            self.method = METHODS[self.spec.method.name](**self.spec.method.knobs)
            return before.method.knobs[key], self.spec.method.knobs[key]
        self.rule.schedule = self.spec.schedule
        return getattr(before.schedule, key), getattr(self.spec.schedule, key)

    def started(self, step: int, teacher_run: str | None) -> Started:
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
        )
