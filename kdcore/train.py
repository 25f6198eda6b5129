"""The engine: `train(spec, folder)` yields events while a student learns.

The loop knows no method's name, no screen and no store. It draws rows, asks teacher and method, steps the optimiser
and reports; between steps it asks its desk whether anybody wishes something or looks. Everything random is a function
of seed and step, so the same spec on the same machine gives the same bits, stopped and resumed or not. Nothing inside
a step waits for the device: values are kept as tensors and read when a mark is reached.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch
from torch import Tensor, nn

from kdcore import checkpoint, optimize
from kdcore.catalogue import home
from kdcore.contracts import Batch, Command, Dataset, Desk, Outputs, Report, Term, silent
from kdcore.costs import cost
from kdcore.errors import BadInput
from kdcore.events import Changed, Checkpoint, Evaluated, Event, Finished, Frame, Loss, Score, Started, Step
from kdcore.measure import CHUNK, GRADIENT_ROWS, Arrays, Probe, answers, compare, gradients, score
from kdcore.net import Net, shapes
from kdcore.record import write_arrays
from kdcore.registry import DATA, METHODS, MODELS, SOURCES
from kdcore.spec import Choice, Json, Spec, Watch, change
from kdcore.teachers.frozen import FrozenTeacher, load_weights

LOOK_S = 0.01  # between two looks at the desk
FRAME_SHARE = 0.02  # of the time may go into frames for those who look
FIELD_SHARE = 0.15  # and into the decision field
SMALL_STEP = 50_000_000  # multiply-adds in a batch under which one thread is faster than several


def train(
    spec: Spec,
    folder: Path,
    *,
    teacher_weights: Path | None = None,
    teacher_run: str | None = None,
    desk: Desk | None = None,
    data_folder: Path | None = None,
    report: Report = silent,
) -> Iterator[Event]:
    """Run `spec` in `folder`, from its last checkpoint where there is one.

    Args:
        spec: what to run.
        folder: where arrays, checkpoints and weights go; see `kdcore.record`.
        teacher_weights: safetensors of the finished run of `spec.teacher`; needed when there is a teacher.
        teacher_run: that run's id, for the record.
        desk: wishes and watchers. A "cancel" ends the generator without `Finished`.
        data_folder: where downloaded data sets live.
        report: told about long preparations.

    Raises:
        BadInput: the spec cannot be run here, or the loss stopped being finite.
    """
    yield from _Run(spec, folder, teacher_weights, teacher_run, desk or Desk(), data_folder, report).events()


def device_for(wish: str) -> torch.device:
    """The device a spec asks for.

    Raises:
        BadInput: a GPU is asked for and there is none.
    """
    if wish == "cuda" and not torch.cuda.is_available():
        raise BadInput("The spec asks for a GPU, but this machine has none; choose device 'auto' or 'cpu'.")
    return torch.device("cuda" if wish != "cpu" and torch.cuda.is_available() else "cpu")


def marks(steps: int, count: int) -> list[int]:
    """`count` steps spread evenly over the run, the last one included."""
    return sorted({round(place * steps / count) for place in range(1, count + 1)} - {0})


class _Marks:
    """At which steps something is due. Checkpoints fall on loss points, so no half-filled mean is ever saved."""

    def __init__(self, steps: int, watch: Watch) -> None:
        points = marks(steps, watch.points)
        self.points = set(points)
        self.evaluations = set(marks(steps, watch.evaluations))
        self.frames = set(marks(steps, watch.frames))
        self.checkpoints = {points[place - 1] for place in marks(len(points), watch.checkpoints)}
        self.all = self.points | self.evaluations | self.frames | self.checkpoints


class _Run:
    """One run in progress: what `train` builds, and the loop over it."""

    def __init__(
        self, spec: Spec, folder: Path, teacher_weights: Path | None, teacher_run: str | None, desk: Desk,
        data_folder: Path | None, report: Report,
    ) -> None:  # fmt: skip
        self.folder, self.desk, self.teacher_run = folder, desk, teacher_run
        self.device = device_for(spec.device)
        saved = checkpoint.newest(folder)
        self.spec = saved.spec if saved else spec
        self.start = saved.step if saved else 0
        torch.backends.cudnn.deterministic = True
        self._load_data(data_folder or home() / "data", report)
        self._build(teacher_weights)
        if saved:
            checkpoint.restore(saved, self.modules, self.rule)
        self.due = _Marks(self.spec.schedule.steps, self.spec.watch)
        self.kept: list[tuple[dict[str, Term], Tensor, Tensor]] = []
        self.step = self.start
        self.paused, self.allowed, self.pace_s = False, 0, 0.0
        self.next_look = self.next_step = 0.0
        self.shows: dict[str, tuple[int, float]] = {}  # channel -> step shown last, and when the next is due
        self.cancelled = False

    def _load_data(self, data_folder: Path, report: Report) -> None:
        """Splits on the device: pixels as uint8, normalised batch by batch."""
        self.data: Dataset = DATA[self.spec.data.name](**self.spec.data.knobs).load(data_folder, report)
        self.shape = tuple(self.data.train.x.shape[1:])
        self.source = SOURCES[self.spec.source.name](**self.spec.source.knobs)
        mean, std = torch.tensor(self.data.mean), torch.tensor(self.data.std)
        self.scale = (1 / (255 * std)).view(1, -1, 1, 1).to(self.device)
        self.shift = (-mean / std).view(1, -1, 1, 1).to(self.device)
        self.x = torch.from_numpy(self.data.train.x).to(self.device)
        self.y = torch.from_numpy(self.data.train.y).to(self.device)

    def _build(self, teacher_weights: Path | None) -> None:
        """Networks, method, connector and optimiser; the seed decides the weights."""
        spec = self.spec
        torch.manual_seed(spec.seed)
        self.student = self._net(spec.student)
        self.method = METHODS[spec.method.name](**spec.method.knobs)
        teacher = self._teacher_net(teacher_weights) if spec.teacher else None
        self.teacher_cost = cost(teacher, self.shape) if teacher else None
        self.student_cost = cost(self.student, self.shape)
        work = self.student_cost.multiply_adds * spec.schedule.batch
        torch.set_num_threads(int(os.environ.get("KDLAB_THREADS") or (1 if work < SMALL_STEP else os.cpu_count() or 1)))
        self.modules = nn.ModuleDict({"student": self.student})
        self.state: nn.Module | None = None
        if teacher and self.method.needs:
            self.state = self.method.connect(shapes(self.student, teacher, self.shape, len(self.data.classes)))
        if self.state is not None:
            self.modules["state"] = self.state.to(self.device)
        self.modules.train()
        self.rule = optimize.optimizer(spec.schedule, self.modules.parameters())
        self.probe = Probe(self.data, self.student, teacher, self.normalise, self.device)
        self._prepare_teacher(teacher)

    def _net(self, choice: Choice) -> Net:
        return MODELS[choice.name](**choice.knobs).build(self.shape, len(self.data.classes)).to(self.device)

    def _teacher_net(self, weights: Path | None) -> Net:
        assert self.spec.teacher is not None
        if weights is None:
            raise BadInput("This run has a teacher, but its weights were not given; run its teacher first.")
        with torch.random.fork_rng(devices=[]):  # the teacher must not shift the student's random numbers
            return load_weights(self._net(self.spec.teacher.student).cpu(), weights).to(self.device)

    def _prepare_teacher(self, teacher: Net | None) -> None:
        """Answers the teacher would repeat are asked for once."""
        self.answers: FrozenTeacher | None = None
        if teacher is None or not self.method.needs:
            return
        self.answers = FrozenTeacher(teacher, self.spec.access, bool(self.method.needs & {"features", "blocks"}))
        if self.source.static:
            with self.autocast():
                self.answers.keep([self.normalise(chunk) for chunk in self.x.split(CHUNK)], len(self.x))

    def normalise(self, x: Tensor) -> Tensor:
        """Raw rows as the networks read them: pixels scaled per channel, features as they are."""
        return x * self.scale + self.shift if x.dim() == 4 else x

    def autocast(self) -> AbstractContextManager[object]:
        """bf16 for the networks where the schedule asks for it."""
        bf16 = self.spec.schedule.precision == "bf16"
        return torch.autocast(self.device.type, torch.bfloat16) if bf16 else nullcontext()

    # ---- the loop ----

    def events(self) -> Iterator[Event]:
        """The whole story."""
        schedule = self.spec.schedule
        write_arrays(self.folder / "static.npz", self.probe.static)
        yield self._started()
        if self.start == 0:
            yield self._evaluated("val")
            yield self._frame()
        rows = self.source.indices(len(self.y), schedule.batch, self.spec.seed, self.start, str(self.device))
        clock = time.perf_counter
        for done in range(self.start, schedule.steps):
            if clock() >= self.next_look or self.paused:
                yield from self._look()
                if self.cancelled:
                    return
            self._update(next(rows), done)
            self.step = done + 1
            if self.step in self.due.all:
                yield from self._mark()
        yield from self._finish()

    def _update(self, index: Tensor, step: int) -> None:
        """One optimiser step on training rows `index` (B,)."""
        schedule = self.spec.schedule
        batch = self._batch(index, step)
        terms = self.method.terms(batch, self.state)
        loss = sum(term.weight * term.value for term in terms.values())
        self.rule.zero_grad()
        loss.backward()  # type: ignore[union-attr]
        rate = optimize.learning_rate(schedule, step)
        for group in self.rule.param_groups:
            group["lr"] = rate
        self.rule.step()
        self.kept.append((terms, batch.student.logits, batch.labels))

    def _batch(self, index: Tensor, step: int) -> Batch:
        """What the method is given at `step`."""
        inputs = self.normalise(self.source.transform(self.x[index], self.spec.seed, step))
        teacher: Outputs | None = None
        with self.autocast():
            if self.answers is not None:
                teacher = self.answers.recall(index) if self.answers.kept else self.answers(inputs)
            student = self.student(inputs)
        return Batch(student, teacher, self.y[index], index, step / self.spec.schedule.steps)

    def _mark(self) -> Iterator[Event]:
        """What is due after `self.step` updates."""
        if self.step in self.due.points:
            yield self._point()
        if self.step in self.due.evaluations:
            yield self._evaluated("val")
        if self.step in self.due.frames:
            yield self._frame()
        if self.step in self.due.checkpoints:
            path = checkpoint.save(self.folder, self.step, self.spec, self.modules, self.rule)
            yield Checkpoint(step=self.step, file=str(path.relative_to(self.folder)))

    def _finish(self) -> Iterator[Event]:
        """Weights, the one look at the test split, and the result."""
        checkpoint.save_tensors(
            self.folder / "student.safetensors", dict(self.student.state_dict()), {"spec": self.spec.model_dump_json()}
        )
        last = self._evaluated("test")
        yield last
        result = {f"student_{name}": value for name, value in last.student}
        if last.teacher:
            result |= {f"teacher_{name}": value for name, value in last.teacher}
        result |= {name: value for name in ("agreement", "kl") if (value := getattr(last, name)) is not None}
        yield Finished(step=self.step, result=result)

    # ---- what is told ----

    def _started(self) -> Started:
        splits = {"train": self.data.train, "val": self.data.val, "test": self.data.test}
        return Started(
            step=self.start, steps=self.spec.schedule.steps, device=str(self.device), torch=torch.__version__,
            classes=self.data.classes, rows={name: len(split.y) for name, split in splits.items()},
            student=self.student_cost, teacher=self.teacher_cost, teacher_run=self.teacher_run,
        )  # fmt: skip

    def _point(self) -> Step:
        """Means since the last point; the first time the host waits for the device."""
        names = list(self.kept[-1][0])
        values = torch.stack([torch.stack([terms[name].value.detach() for name in names]) for terms, _, _ in self.kept])
        means = values.double().mean(0).tolist()
        weights = [sum(terms[name].weight for terms, _, _ in self.kept) / len(self.kept) for name in names]
        logits = torch.cat([logits.detach() for _, logits, _ in self.kept])
        labels = torch.cat([labels for _, _, labels in self.kept])
        right = (logits.argmax(1) == labels).sum() / (labels >= 0).sum().clamp(min=1)
        loss = sum(weight * mean for weight, mean in zip(weights, means, strict=True))
        self.kept.clear()
        if not torch.isfinite(values).all():
            raise BadInput(
                f"The loss stopped being finite by step {self.step}; lower the learning rate "
                f"({self.rule.param_groups[0]['lr']:.3g}) or the weight of the distillation term and run again."
            )
        terms = {name: Loss(weight=w, value=v) for name, w, v in zip(names, weights, means, strict=True)}
        rate = float(self.rule.param_groups[0]["lr"])
        return Step(step=self.step, learning_rate=rate, loss=loss, terms=terms, train_accuracy=float(right))

    def _evaluated(self, which: str) -> Evaluated:
        split = self.data.val if which == "val" else self.data.test
        x, y = torch.from_numpy(split.x).to(self.device), torch.from_numpy(split.y).to(self.device)
        logits = answers(self.student, x, self.normalise)
        if self.probe.teacher is None:
            return Evaluated(step=self.step, split=which, student=score(logits, y))  # type: ignore[arg-type]
        theirs = self._teacher_logits(which, x)
        agreement, kl = compare(logits, theirs)
        scores: dict[str, Score] = {"student": score(logits, y), "teacher": score(theirs, y)}
        return Evaluated(step=self.step, split=which, agreement=agreement, kl=kl, **scores)  # type: ignore[arg-type]

    def _teacher_logits(self, which: str, x: Tensor) -> Tensor:
        """The teacher's logits on a split; on the validation split they are asked for once."""
        assert self.probe.teacher is not None
        if which == "test":
            return answers(self.probe.teacher, x, self.normalise)
        if not hasattr(self, "_val_logits"):
            self._val_logits = answers(self.probe.teacher, x, self.normalise)
        return self._val_logits

    def _measured(self) -> Arrays:
        """One frame: answers on the probe set, the field, and the tug of the loss terms."""
        index = torch.arange(min(GRADIENT_ROWS, len(self.y)), device=self.device)
        inputs = self.normalise(self.x[index])
        progress = self.step / self.spec.schedule.steps
        with torch.random.fork_rng(devices=[]):
            teacher = None
            if self.answers is not None:
                teacher = self.answers.recall(index) if self.answers.kept else self.answers(inputs)
            tug = gradients(
                self.student, self.state, inputs,
                lambda student: self.method.terms(Batch(student, teacher, self.y[index], index, progress), self.state),
            )  # fmt: skip
        return {**self.probe.frame(self.step), **tug}

    def _frame(self) -> Frame:
        file = f"frames/{self.step:08d}.npz"
        write_arrays(self.folder / file, self._measured())
        return Frame(step=self.step, file=file)

    # ---- wishes and watchers ----

    def _look(self) -> Iterator[Event]:
        """Between two steps: hear wishes, show what is looked at, and wait while paused or slowed down."""
        while True:
            for command in self.desk.commands():
                yield from self._obey(command)
            if self.cancelled:
                return
            self._show()
            now = time.perf_counter()
            self.next_look = now + LOOK_S
            if self.paused and self.allowed == 0:
                time.sleep(LOOK_S)
            elif self.pace_s and now < self.next_step:
                time.sleep(min(LOOK_S, self.next_step - now))
            else:
                break
        self.allowed = max(0, self.allowed - 1)
        if self.pace_s:
            self.next_step, self.next_look = now + self.pace_s, 0.0

    def _obey(self, command: Command) -> Sequence[Event]:
        """Carry out one wish; a changed setting is an event, so that a replay knows."""
        if command.name == "pause":
            self.paused, self.allowed = True, 0
        elif command.name == "resume":
            self.paused = False
        elif command.name == "step":
            self.paused, self.allowed = True, self.allowed + _whole(command.value)
        elif command.name == "speed":
            self.pace_s = 1 / float(command.value) if command.value else 0.0  # type: ignore[arg-type]
            self.next_step = 0.0
        elif command.name == "cancel":
            self.cancelled = True
        elif command.name == "set" and isinstance(command.value, dict):
            return [self._set(path, value) for path, value in command.value.items()]
        return ()

    def _set(self, path: str, value: Json) -> Changed:
        """Change one setting from the next step on."""
        section, _, key = path.partition(".")
        before = self.spec
        self.spec = change(before, path, value)
        if section == "method":
            self.method = METHODS[self.spec.method.name](**self.spec.method.knobs)
            return Changed(step=self.step, path=path, old=before.method.knobs[key], new=self.spec.method.knobs[key])  # type: ignore[arg-type]
        optimize.apply(self.spec.schedule, self.rule)
        return Changed(
            step=self.step, path=path, old=getattr(before.schedule, key), new=getattr(self.spec.schedule, key)
        )

    def _show(self) -> None:
        """Measure for those who look, within a fixed share of the time; while paused, once per step."""
        audience = self.desk.audience()
        if audience.frames_hz and self._due("frame"):
            began = time.perf_counter()
            self.desk.show("frame", self._measured())
            self._shown("frame", began, audience.frames_hz, FRAME_SHARE)
        if audience.field_hz and self.probe.plane is not None and self._due("field"):
            began = time.perf_counter()
            self.desk.show("field", self.probe.field(self.step))
            self._shown("field", began, audience.field_hz, FIELD_SHARE)

    def _due(self, channel: str) -> bool:
        """Whether to measure now: there is something new, and it is time or nothing else is going on."""
        shown, due = self.shows.get(channel, (-1, 0.0))
        return shown != self.step and (self.paused or time.perf_counter() >= due)

    def _shown(self, channel: str, began: float, rate_hz: float, share: float) -> None:
        """The next look is due at the asked rate, or later where one costs more than its share of the time."""
        self.shows[channel] = self.step, began + max(1 / rate_hz, (time.perf_counter() - began) / share)


def _whole(value: object) -> int:
    """A number of steps, one when not given."""
    return max(1, int(value)) if isinstance(value, (int, float)) else 1
