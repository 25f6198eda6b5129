"""What a run is made of: data, networks, method and optimiser, built from a spec on its device.

The seed decides the student's weights; neither a teacher nor a measure shifts the student's random numbers.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import repeat
from pathlib import Path

import torch
from torch import Tensor, nn

from kdcore.contracts.access import Grant
from kdcore.contracts.data import Report
from kdcore.contracts.method import Batch, Pair, Shown, ViewOutputs
from kdcore.contracts.net import CHUNK, Net, pooled, stage_shapes
from kdcore.contracts.outputs import Outputs
from kdcore.device import Listener, apart, onto, steady
from kdcore.engine.build import build, dataset, device_for, network
from kdcore.engine.checkpoint import load_weights
from kdcore.engine.generator_metrics import GeneratorMetrics
from kdcore.engine.measure import Probe, probe_rows
from kdcore.engine.row_splits import held_out, places, shown
from kdcore.engine.teacher import Teacher, UsedUp
from kdcore.errors import BadInput, upshot
from kdcore.events import Started
from kdcore.generation.source import Maker, Scene
from kdcore.nn.optim import Rule
from kdcore.nn.pixels import Pixels
from kdcore.seeding import mix
from kdcore.spec.costs import cost
from kdcore.spec.query_limits import learning
from kdcore.spec.registry import METHODS, SOURCES, TEACHERS
from kdcore.spec.schedule import Json
from kdcore.spec.spec import Choice, Spec, change, setting

LENT: frozenset[Grant] = frozenset({"blocks", "gradients"})  # what only the teacher's network itself can give
SMALL_STEP = 50_000_000  # multiply-adds in a batch under which one thread is faster than several; above it half
# of the cores work, because threads that outnumber free cores wait for each other: 20 times slower beside two others


class Setup:
    """One run's parts.

    Args:
        spec: the settings in force; `set` replaces it.
        data_folder: where downloaded data sets live.
        teacher_weights: safetensors of the finished run of `spec.teacher`.
        mentor_weights: those of `spec.mentors`, in their order.
        folder: where answers that were paid for are kept; needed behind a wall.
        start_weights: those of `spec.start`.
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
        folder: Path | None = None,
        start_weights: Path | None = None,
    ) -> None:
        self.spec, self.folder, self.teacher_weights = spec, folder, teacher_weights
        self.device = device_for(spec.device)
        steady(self.device)
        self.listening = Listener(self.device)
        self._load(data_folder, report)
        self.method = METHODS[spec.method.name](**spec.method.knobs)
        self.learned, self.held = held_out(len(self.y), "validation" in self.method.asks, self.device)
        self.shown = shown(self.source, self.learned, spec.seed)
        self.teacher = self._trained(spec.teacher, teacher_weights) if spec.teacher else None
        self.reread = self.method.wrap_teacher(self.teacher) if self.teacher else None
        if len(mentor_weights) != len(spec.mentors):
            raise BadInput(f"This run needs the weights of {len(spec.mentors)} mentors, but got {len(mentor_weights)}.")
        mentors = [self._trained(*one) for one in zip(spec.mentors, mentor_weights, strict=True)]
        torch.manual_seed(spec.seed)
        self.student = self.method.adapt_student(self._net(spec.student), self._lent()).to(self.device)
        self.read = self.method.wrap_student(self.student)
        if spec.start:
            self._begin(self._trained(spec.start, start_weights, "start"))
        self.student_cost = cost(self.student, self.shape)
        self._choose_threads()
        self.answers = self._answering()
        self._build_modules()
        self.rule = Rule(spec.schedule, [weight for weight in self.modules.parameters() if weight.requires_grad])
        look = self.answers.look if spec.service and self.answers else None
        self.probe = Probe(self.data, self.student, self.teacher, self.normalise, self.device, look)
        self.mentors = [self._kept(Teacher(mentor, spec.access, self._reads_features())) for mentor in mentors]
        self._build_source()

    def _load(self, data_folder: Path, report: Report) -> None:
        """Splits; the training rows on the device, pixels as uint8, normalised batch by batch."""
        self.data = dataset(self.spec.data, data_folder, report)
        self.shape = tuple(self.data.train.x.shape[1:])
        self.source = SOURCES[self.spec.source.name](**self.spec.source.knobs)
        self.scale = Pixels(self.data.mean, self.data.std, self.device)
        self.x = torch.from_numpy(self.data.train.x).to(self.device)
        self.y = torch.from_numpy(self.data.train.y).to(self.device)

    def _net(self, choice: Choice) -> Net:
        return build(choice, self.shape, len(self.data.classes)).to(self.device)

    def _trained(self, spec: Spec, weights: Path | None, role: str = "teacher") -> Net:
        if weights is None:
            raise BadInput(f"This run has a {role}, but its weights were not given; run its {role} first.")
        net = network(spec, self.shape, len(self.data.classes)).to(self.device)
        return load_weights(net, weights, self.data.mean, self.data.std)

    def _begin(self, start: Net) -> None:
        """The student takes over the weights of a run before it; its optimiser begins anew."""
        try:
            self.student.load_state_dict(start.state_dict())
        except RuntimeError as error:
            raise BadInput(
                f"Method {self.spec.method.name!r} makes another network of the student than the run before it "
                f"({upshot(error)}); start from a run of the same method."
            ) from error

    def _lent(self) -> Net | None:
        """The teacher as the method reads it, for one that works inside it."""
        return self.reread if self.method.needs & LENT else None

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
            student=stage_shapes(self.read, self.shape),
            teacher=stage_shapes(self.reread, self.shape) if self.reread else (),
            classes=len(self.data.classes),
            labels=self.y,
            student_net=self.student,
            teacher_net=self._lent(),
            fresh=lambda: self._net(self.spec.student),
            answers=self._survey,
            shown=self.shown,
            inputs=lambda rows: self.normalise(self.x[rows]),
            ask=self.answers,
            budget=self.spec.wall.budget if self.spec.wall else 0,
        )

    @torch.no_grad()
    def _survey(self) -> Outputs:
        """The teacher on all training rows as they are, features pooled."""
        assert self.reread is not None
        walled = self.answers if self.spec.wall else None
        asked = walled or Teacher(self.reread, self.spec.access, features=True)
        told = [asked(self.normalise(chunk), local=True) for chunk in torch.split(self.x, CHUNK)]
        stages = zip(*([pooled(feature.float()) for feature in answer.features] for answer in told), strict=True)
        return Outputs(torch.cat([answer.logits for answer in told]), tuple(torch.cat(stage) for stage in stages))

    def _answering(self) -> Teacher | None:
        """The teacher as method and source may see it; None where neither needs one."""
        spec, classes = self.spec, len(self.data.classes)
        needed = self.method.needs or (isinstance(self.source, Maker) and self.source.needs)
        line = None
        if spec.service:
            line = TEACHERS[spec.service.name](**spec.service.knobs).connect(self.shape, classes, spec.access)
        behind = line or self.reread
        if behind is None or not needed:
            return None
        if spec.wall is None:
            return self._kept(Teacher(behind, spec.access, self._reads_features()))
        walled = Teacher(
            behind, spec.access, wall=spec.wall, folder=self.folder, classes=classes, pixels=self.pixels,
            inputs=lambda pixels: self.normalise(pixels * 255), seed=spec.seed, remote=spec.remote,
            wanted=learning(spec, len(self.x)), closing=len(probe_rows(len(self.data.test.y))),
        )  # fmt: skip
        return self._kept(walled)

    def _reads_features(self) -> bool:
        return bool(self.method.needs & {"features", "blocks"})

    def _kept(self, asked: Teacher) -> Teacher:
        """A teacher of whom answers that would be repeated are asked for once."""
        made = isinstance(self.source, Maker)
        if not made and self.source.static and "mixing" not in self.method.asks:
            with self.autocast():
                inputs = [self.normalise(self.x[rows]) for rows in torch.split(self.shown, CHUNK)]
                asked.keep(inputs, len(self.shown), places(self.shown, len(self.x)))
        return asked

    def _build_source(self) -> None:
        """What a source makes its images with; its weights come from a stream of chance of their own."""
        self.rules = {"rule": self.rule}
        self.lead = 0
        self.made: GeneratorMetrics | None = None
        if not isinstance(self.source, Maker):
            return
        self.lead = self.source.lead
        self.scene = Scene(
            x=self.x,
            classes=len(self.data.classes),
            seed=self.spec.seed,
            access=self.spec.access,
            inputs=self.inputs,
            ask=self.answers or self._unasked,
            student=self.student,
            teacher_net=self.teacher if self.source.needs & LENT else None,
            steps=self.spec.schedule.steps,
        )
        with apart(self.device):
            torch.manual_seed(mix(self.spec.seed, 0, salt=6))
            self.making = self.source.build(self.scene).to(self.device)
        self.modules["source"] = self.making
        self.rules |= {f"source {name}": rule for name, rule in self.making.rules.items()}
        if self.x.dim() == 4:
            held = torch.from_numpy(self.data.val.x).to(self.device)
            look, paid = self.answers.look if self.answers else None, self.spec.service is not None
            self.made = GeneratorMetrics(self.source, self.making, self.scene, self.probe, self.lead, look, paid, held)
            self.probe.static |= self.made.static

    @property
    def steps(self) -> int:
        """All steps: the source's lead and the student's."""
        return self.lead + self.spec.schedule.steps

    def indices(self, start: int) -> Iterator[Tensor]:
        """The rows of the next batches, from the student's step `start` on; none of a source that makes its images.

        Rows held out for a method are left out.
        """
        if isinstance(self.source, Maker):
            return repeat(self.y[:0])
        spec, rows = self.spec, self.learned
        drawn = self.source.indices(len(rows), spec.schedule.batch, spec.seed, start, str(self.device))
        return drawn if len(rows) == len(self.y) else (rows[place] for place in drawn)

    def normalise(self, x: Tensor) -> Tensor:
        """Raw rows as the networks read them: pixels scaled per channel, features as they are."""
        return self.scale.normalised(x)

    def pixels(self, x: Tensor) -> Tensor:
        """Inputs as values from 0 to 1; features as they are."""
        return self.scale.sent(x)

    def inputs(self, images: Tensor) -> Tensor:
        """Images (B, K, H, W) in [-1, 1] as the networks read them."""
        return self.scale.made(images)

    def autocast(self) -> AbstractContextManager[object]:
        """bf16 for the networks where the schedule asks for it."""
        bf16 = self.spec.schedule.precision == "bf16"
        return torch.autocast(self.device.type, torch.bfloat16) if bf16 else nullcontext()

    def batch(self, index: Tensor, step: int) -> Batch:
        """What the method is given at the student's `step` for training rows `index` (B,), or for made images."""
        return self.composed(*self.drawn(index, step))

    def drawn(self, index: Tensor, step: int) -> tuple[Tensor, Tensor, Tensor, int, bool]:
        """What `composed` makes the batch of: raw rows, or made images, none of which has a label."""
        if not isinstance(self.source, Maker):
            return self.source.transform(self.x[index], self.spec.seed, step), self.y[index], index, step, True
        with self.autocast():
            images = self.source.images(self.making, self.scene, self.spec.schedule.batch, step).float()
        if self.made:
            self.made.shown = images
        unlabelled = torch.full((len(images),), -1, device=self.device)
        return images, unlabelled, torch.zeros_like(unlabelled), step, False

    def composed(
        self, raw: Tensor, labels: Tensor, index: Tensor, step: int, known: bool, looking: bool = False
    ) -> Batch:
        """A batch of raw rows, or of made images.

        Args:
            known: whether `index` are the training rows they come from.
            looking: whether nobody learns from it, so that it is not counted.
        """
        made = raw.is_floating_point() and raw.dim() == 4
        local = not made or (isinstance(self.source, Maker) and self.source.local)
        inputs = self.inputs(raw) if made else self.normalise(raw)
        with self.autocast():
            seen = self._shown(inputs, step, local, looking)
            mine, theirs = (seen.student, seen.teacher) if seen else (inputs, inputs)
            if seen and seen.row is not None:
                labels, index = labels[seen.row], index[seen.row]
            return Batch(
                student=self.read(mine),
                teacher=self._answer(index if known else None, theirs, local, looking),
                labels=labels,
                index=index,
                progress=step / self.spec.schedule.steps,
                inputs=mine,
                student_net=self.student,
                teacher_net=self._lent(),
                second=self._second(raw, labels, step, looking) if "second_view" in self.method.asks else None,
                validation=self._validation(len(labels), step) if "validation" in self.method.asks else None,
                mentors=tuple(self._taught(one, index if known else None, theirs, local) for one in self.mentors),
                shown=seen,
                invert=self._inverse,
            )

    def _answer(self, index: Tensor | None, inputs: Tensor, local: bool, looking: bool) -> Outputs | None:
        """What the teacher says, to learn from or only to look at."""
        asked = self.answers
        if asked is None:
            return None
        if not looking:
            return self._taught(asked, index, inputs, local)
        told = asked.cache.lookup(index) if index is not None and asked.cache.filled else asked.look(inputs, real=local)
        if told is None:
            raise UsedUp
        return told

    @staticmethod
    def _taught(asked: Teacher, index: Tensor | None, inputs: Tensor, local: bool) -> Outputs:
        """A teacher's answer to inputs: recalled where it was kept for training rows `index`."""
        if index is not None and asked.cache.filled:
            asked.cached += len(index)
            return asked.cache.lookup(index)
        return asked(inputs, local)

    @property
    def _inverse(self) -> Callable[[Tensor], Tensor] | None:
        """Images of logits, where the source makes them."""
        source = self.source
        if not isinstance(source, Maker) or not source.inverts:
            return None
        return lambda logits: source.invert(self.making, logits)

    def _shown(self, inputs: Tensor, step: int, local: bool, looking: bool) -> Shown | None:
        """What a method makes of the inputs, where it asks for a say."""
        if "mixing" not in self.method.asks:
            return None
        generator = torch.Generator().manual_seed(mix(self.spec.seed, step, salt=3))
        return self.method.mix_inputs(
            inputs, generator, lambda mixed: self._answer(None, mixed, local, looking) or self._unasked(mixed)
        )

    def _unasked(self, inputs: Tensor, local: bool = False) -> Outputs:
        raise BadInput("This method shows inputs to a teacher, but the run has none; add a teacher.")

    def _second(self, raw: Tensor, labels: Tensor, step: int, looking: bool) -> ViewOutputs:
        """The same rows under strong augmentation."""
        inputs = self.normalise(self.source.strengthen(raw, self.spec.seed, step))
        return ViewOutputs(self.read(inputs), self._answer(None, inputs, True, looking), labels)

    def _validation(self, count: int, step: int) -> ViewOutputs:
        """Held-out rows, answered in eval mode, so that they leave no trace in the student's statistics."""
        rows = self.held
        generator = torch.Generator().manual_seed(mix(self.spec.seed, step, salt=4))
        index = rows[onto(torch.randint(len(rows), (count,), generator=generator), self.device)]
        training = self.student.training
        outputs = self.student.eval()(self.normalise(self.x[index]))
        self.student.train(training)
        return ViewOutputs(outputs, None, self.y[index])

    def conclude(self) -> None:
        """Let the method have the last word on the student's weights."""
        self.method.finalize(self.student, self.state, (self.normalise(chunk) for chunk in torch.split(self.x, CHUNK)))

    def set(self, path: str, value: Json) -> tuple[Json, Json]:
        """Change one setting from the next step on; the value before and after."""
        before, self.spec = self.spec, change(self.spec, path, value)
        if path.startswith("method."):
            self.method = METHODS[self.spec.method.name](**self.spec.method.knobs)
        self.rule.schedule = self.spec.schedule
        return setting(before, path), setting(self.spec, path)

    def started(
        self, step: int, teacher_run: str | None, mentor_runs: Sequence[str] = (), start_run: str | None = None
    ) -> Started:
        """The first event."""
        splits = {"train": self.data.train, "val": self.data.val, "test": self.data.test}
        return Started(
            step=step,
            steps=self.steps,
            lead=self.lead,
            device=str(self.device),
            torch=torch.__version__,
            classes=self.data.classes,
            rows={name: len(split.y) for name, split in splits.items()},
            student=self.student_cost,
            teacher=cost(self.teacher, self.shape) if self.teacher else None,
            teacher_run=teacher_run,
            mentor_runs=tuple(mentor_runs),
            start_run=start_run,
        )
