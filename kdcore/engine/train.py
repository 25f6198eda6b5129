"""The engine: `train(spec, folder)` yields events while a student learns.

The loop knows no method's name, no screen and no store. It draws rows, asks the method for its terms, steps the
optimiser and reports; now and then it attends to wishes and watchers. Everything random is a function of seed and
step, so the same spec on the same machine gives the same bits, stopped and resumed or not. Nothing inside a step
waits for the device: values are kept as tensors and read when a mark is reached.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from kdcore.contracts.control import Desk
from kdcore.contracts.data import Report, silent
from kdcore.contracts.method import Term
from kdcore.engine import checkpoint
from kdcore.engine.build import said
from kdcore.engine.control import RunControl
from kdcore.engine.cuda_graph import Stepper, graphs_for
from kdcore.engine.frames import measured, parted
from kdcore.engine.measure import answers, compare, probe_rows, score
from kdcore.engine.setup import Setup
from kdcore.engine.standstill import standstill
from kdcore.engine.step import Kept
from kdcore.engine.teacher import Spent
from kdcore.engine.test_time_adaptation import adapted
from kdcore.errors import BadInput
from kdcore.events import Asked, Changed, Checkpoint, Evaluated, Event, Finished, Frame, Loss, Meter, Step
from kdcore.generation.source import Maker
from kdcore.nn.optim import learning_rate
from kdcore.runs.record import write_arrays
from kdcore.spec.catalogue import home
from kdcore.spec.checks import check_changes
from kdcore.spec.reporting import Due
from kdcore.spec.spec import Change, Spec


def train(
    spec: Spec,
    folder: Path,
    *,
    teacher_weights: Path | None = None,
    teacher_run: str | None = None,
    mentor_weights: Sequence[Path] = (),
    mentor_runs: Sequence[str] = (),
    start_weights: Path | None = None,
    start_run: str | None = None,
    desk: Desk | None = None,
    data_folder: Path | None = None,
    report: Report = silent,
) -> Iterator[Event]:
    """Run `spec` in `folder`, from its last checkpoint where there is one.

    Args:
        spec: what to run.
        folder: where arrays, checkpoints and weights go; see `kdcore.runs.record`.
        teacher_weights: safetensors of the finished run of `spec.teacher`; needed when there is a teacher.
        teacher_run: that run's id, for the record.
        mentor_weights, mentor_runs: the same of `spec.mentors`, in their order.
        start_weights, start_run: the same of `spec.start`.
        desk: wishes and watchers. A "cancel" ends the generator with a checkpoint, without `Finished`.
        data_folder: where downloaded data sets live; `home()`/data when None.
        report: told about long preparations.

    Raises:
        BadInput: the spec cannot be run here, or the loss stopped being finite.
    """
    saved = checkpoint.newest(folder)
    folder_of_data = data_folder or home() / "data"
    force = (saved.spec if saved else spec).model_copy(update={"changes": ()})
    setup = Setup(force, folder_of_data, teacher_weights, report, mentor_weights, folder, start_weights)
    if saved:
        counted = checkpoint.restore(saved, setup.modules, setup.rules)
        if setup.answers:
            setup.answers.restore(counted)
    check_changes(spec)
    run = _Run(setup, folder, desk or Desk(), spec.changes)
    write_arrays(folder / "static.npz", setup.probe.static)
    yield setup.started(saved.step if saved else 0, teacher_run, mentor_runs, start_run)
    yield from run.events(saved.step if saved else 0)


def _averages(told: list[dict[str, Tensor]]) -> dict[str, float]:
    """The mean of each of the scalars that are told again and again; empty where there are none."""
    if not told or not told[0]:
        return {}
    values = torch.stack([torch.stack([value.float() for value in each.values()]) for each in told])
    return dict(zip(told[0], values.double().mean(0).tolist(), strict=True))


class _Run:
    """The loop, and what it tells."""

    def __init__(self, setup: Setup, folder: Path, desk: Desk, changes: Sequence[Change] = ()) -> None:
        self.setup, self.folder, self.attention = setup, folder, RunControl(desk, setup, self._rested)
        self.planned = {one.step: [other for other in changes if other.step == one.step] for one in changes}
        self.due = Due(setup.lead, setup.spec.schedule.steps, setup.spec.watch)
        self.stepper = Stepper(setup, graphs_for(setup.device))
        self.kept: list[Kept] = []  # since the last point
        self.told: list[dict[str, Tensor]] = []  # since then, of each update of the source beside the student
        self.rate = 0.0  # of the last step
        self.saved = 0  # the step of the newest checkpoint
        self.scored, self.scoring_s = -1, 0.0  # the step of the newest evaluation, and what that took
        self.stands = 0  # steps done
        self.noted: tuple[int, Meter] | None = None  # step and outlay when all that left was told last
        self.counted: Meter | None = None  # what the newest loss point says was asked

    def events(self, start: int) -> Iterator[Event]:
        """The story from step `start` on; one that breaks off tells what its teacher was asked before it says why."""
        self.stands = start
        try:
            if self._outlay() != self._meter():  # it broke off behind its checkpoint, and that was paid for
                yield from self._asked(start)
            yield from self._story(start)
        except (BadInput, OSError, RuntimeError):  # a server that fails, a full disk, no memory left
            yield from self._asked(self.stands)
            raise

    def _story(self, start: int) -> Iterator[Event]:
        setup, attention, due = self.setup, self.attention, self.due.all
        self.saved = start
        self.scored = start if start in self.due.evaluations else -1
        if start == 0:
            yield self._evaluated(0, "val")
            yield self._frame(0)
        rows = setup.indices(max(0, start - setup.lead))
        for done in range(start, setup.steps):
            yield from self._change(done)
            if attention.due:
                yield from attention.look(done)
                if attention.cancelled:
                    yield from self._break(done)
                    return
            try:
                self._advance(rows, done)
            except Spent:
                yield from self._stop(done)
                return
            self.stands = done + 1
            if done + 1 == setup.steps:
                setup.conclude()
            if done + 1 in due:
                yield from self._mark(done + 1)
        yield from self._finish(setup.steps)

    def _change(self, step: int) -> Iterator[Changed]:
        """Settings that the spec changes at this step; a checkpoint taken here may hold them already."""
        for one in self.planned.get(step, ()):
            yield from self.attention.set(one.path, one.value, step)

    def _advance(self, rows: Iterator[Tensor], done: int) -> None:
        """One step: of the source while it leads, then of the student."""
        lead = self.setup.lead
        with self.setup.listening():
            if done < lead:
                self._lead(done)
            else:
                self._update(next(rows), done - lead)

    def _stop(self, done: int) -> Iterator[Event]:
        """The budget of questions is used up: what was learned stays, and the run says so."""
        self.setup.conclude()
        yield from self._shown(done)
        yield from self._unscored(done)
        yield from self._finish(done, spent=True)

    def _break(self, done: int) -> Iterator[Event]:
        """The run is stopped: what is known of where it stands. After the checkpoint whoever waits for the end may kill
        it, so what was asked is told at once, and again where the evaluation asked for more."""
        before = self._meter()
        yield from self._shown(done)
        if done > self.saved or self._meter() != before:
            yield self._checkpoint(done)
        yield from self._asked(done)
        yield from self._unscored(done)
        yield from self._asked(done)

    def _shown(self, done: int) -> Iterator[Event]:
        """A loss point and a frame, where the run ends before they are due."""
        if self.kept:
            yield self._point(done)
        if done not in self.due.frames | {0}:
            yield self._frame(done)

    def _rested(self, step: int, rested_s: float) -> Iterator[Asked | Evaluated]:
        """What the teacher of a paused run was asked, and the run's score, once the pause lasts as long as measuring
        that takes: single steps stay quick."""
        if rested_s >= self.scoring_s:
            yield from self._unscored(step)
        yield from self._asked(step)

    def _unscored(self, step: int) -> Iterator[Evaluated]:
        """How good the student is where it stands, unless that is known."""
        if step > max(self.setup.lead, self.scored):
            yield self._evaluated(step, "val")

    def _lead(self, step: int) -> None:
        """One step of the source alone."""
        setup = self.setup
        assert isinstance(setup.source, Maker)
        losses = setup.source.learn(setup.making, setup.scene, step)
        none = torch.empty(0, len(setup.data.classes), device=setup.device)
        terms = {name: Term(1.0, loss) for name, loss in losses.items()}
        self.kept.append(Kept(terms, none, none.long()[:, 0], {}))

    def _update(self, index: Tensor, step: int) -> None:
        """One optimiser step on training rows `index` (B,)."""
        setup = self.setup
        rate = learning_rate(setup.spec.schedule, step)
        self.kept.append(self.stepper.step(index, step, rate))
        self.rate = rate
        self.told += setup.making.take() if isinstance(setup.source, Maker) else []

    def _mark(self, step: int) -> Iterator[Event]:
        """What is due after `step` updates."""
        if step in self.due.points:
            yield self._point(step)
        if step in self.due.evaluations:
            yield self._evaluated(step, "val")
        if step in self.due.frames:
            yield self._frame(step)
        if step in self.due.checkpoints:
            yield self._checkpoint(step)
        if step in self.due.points and self._outlay() != self.counted:
            yield from self._asked(step)

    def _checkpoint(self, step: int) -> Checkpoint:
        """From here the run can go on."""
        setup = self.setup
        meter = setup.answers.state() if setup.answers else None
        path = checkpoint.save(self.folder, step, setup.spec, setup.modules, setup.rules, meter)
        self.saved = step
        return Checkpoint(step=step, file=str(path.relative_to(self.folder)))

    def _finish(self, step: int, spent: bool = False) -> Iterator[Event]:
        """The weights, the one look at the test split, and the result."""
        if self.setup.answers:
            self.setup.answers.release()
        last = self._evaluated(step, "test")  # before the weights say that the run is over: it may send images
        weights = dict(self.setup.student.state_dict())
        path = self.folder / "student.safetensors"
        checkpoint.save_tensors(path, weights, self._labelled())
        if isinstance(self.setup.source, Maker):
            made = dict(self.setup.making.state_dict())
            checkpoint.save_tensors(self.folder / "source.safetensors", made, self._labelled())
        yield last
        result = {f"student_{name}": value for name, value in last.student}
        result |= {f"teacher_{name}": value for name, value in last.teacher or ()}
        if last.agreement is not None and last.kl is not None:
            result |= {"agreement": last.agreement, "kl": last.kl}
        result |= self._adapted() | {"test_rows": float(len(self.setup.data.test.y))}
        result |= {} if last.compared is None else {"compared_rows": float(last.compared)}
        if stuck := standstill(last.student, self.setup.data.test.y):
            result |= stuck | {"learning_rate": self.setup.spec.schedule.lr}
        if spent:
            result["spent"] = 1.0  # so that whoever has only the result knows it too
        unsteady = tuple(sorted(self.setup.listening.heard))
        result |= {"unsteady": float(len(unsteady))} if unsteady else {}
        yield Finished(step=step, result=result, meter=self._outlay(), spent=spent, unsteady=unsteady)

    def _adapted(self) -> dict[str, float]:
        """How often the student is right on the test split where answers are made consistent with their neighbours'."""
        setup = self.setup
        if setup.spec.wall is None or not setup.spec.watch.adapt:
            return {}
        x, y = (torch.from_numpy(part).to(setup.device) for part in (setup.data.test.x, setup.data.test.y))
        found = adapted(setup.student, x, setup.normalise, setup.spec.watch.adapt)
        return {"adapted_accuracy": float((found == y).double().mean())}

    def _labelled(self) -> dict[str, str]:
        """What stands in the head of a file of weights: what they are of, and how pixels become their inputs."""
        data = self.setup.data
        facts = {"classes": data.classes, "mean": data.mean, "std": data.std}
        return {"spec": self.setup.spec.model_dump_json()} | {name: json.dumps(fact) for name, fact in facts.items()}

    def _meter(self) -> Meter | None:
        """What was asked so far; None where nobody counts."""
        asked = self.setup.answers
        return asked.meter if asked and asked.wall else None

    def _outlay(self) -> Meter | None:
        """All that has left by now; None where nobody counts."""
        asked = self.setup.answers
        return asked.outlay if asked and asked.wall else None

    def _asked(self, step: int) -> Iterator[Asked]:
        """All that has left where the run stands, unless that was told."""
        outlay = self._outlay()
        if outlay and self.noted != (step, outlay):
            self.noted = step, outlay
            yield Asked(step=step, meter=outlay)

    def _point(self, step: int) -> Step:
        """Means since the last point; here the host waits for the device."""
        values = torch.stack([torch.stack([term.value for term in one.terms.values()]) for one in self.kept])
        means = values.double().mean(0).tolist()
        columns = zip(*([term.weight for term in one.terms.values()] for one in self.kept), strict=True)
        weights = [sum(column) / len(column) for column in columns]
        logits = torch.cat([one.logits for one in self.kept])
        labels = torch.cat([one.labels for one in self.kept])
        labelled = int((labels >= 0).sum())
        right = int((logits.argmax(1) == labels).sum()) / labelled if labelled else None
        notes = _averages([one.metrics for one in self.kept])
        source, names = _averages(self.told), list(self.kept[-1].terms)
        self.kept.clear()
        self.told.clear()
        if not all(map(math.isfinite, means)):
            raise BadInput(
                f"The loss stopped being finite by step {step}; lower the learning rate (now {self.rate:.3g}) "
                "or the weight of the distillation term and run again."
            )
        loss = sum(weight * mean for weight, mean in zip(weights, means, strict=True))
        terms = {name: Loss(weight=w, value=v) for name, w, v in zip(names, weights, means, strict=True)}
        self.counted = self._meter()
        return Step(
            step=step,
            learning_rate=self.rate,
            loss=loss,
            terms=terms,
            train_accuracy=right,
            notes=notes,
            source=source,
            lead=step <= self.setup.lead,
            meter=self.counted,
        )

    def _evaluated(self, step: int, split: Literal["val", "test"]) -> Evaluated:
        """Both networks on a split."""
        began, self.scored = time.perf_counter(), step
        seen = self._seen(step, split)
        self.scoring_s = time.perf_counter() - began
        return seen

    def _seen(self, step: int, split: Literal["val", "test"]) -> Evaluated:
        setup = self.setup
        rows = setup.data.val if split == "val" else setup.data.test
        x, y = torch.from_numpy(rows.x).to(setup.device), torch.from_numpy(rows.y).to(setup.device)
        logits = answers(setup.student, x, setup.normalise)
        student = score(logits, y)
        if setup.teacher is None:
            return self._beside_service(Evaluated(step=step, split=split, student=student), x, y, logits)
        teacher_logits = self._teacher_logits(split, x)
        return Evaluated(
            step=step,
            split=split,
            student=student,
            teacher=score(teacher_logits, y),
            **compare(logits, teacher_logits, y),
        )

    def _beside_service(self, seen: Evaluated, x: Tensor, y: Tensor, logits: Tensor) -> Evaluated:
        """What was seen of the student, beside what a service says of some of the rows, as far as its looks reach."""
        asked = self.setup.answers
        if not self.setup.spec.service or asked is None:
            return seen
        rows = probe_rows(len(y)).to(x.device)
        told = asked.look(self.setup.normalise(x[rows]))
        if told is None:
            return seen
        beside = {"teacher": score(told.logits, y[rows]), **compare(logits[rows], told.logits, y[rows])}
        return seen.model_copy(update=beside | ({"compared": len(rows)} if len(rows) < len(y) else {}))

    def _teacher_logits(self, split: Literal["val", "test"], x: Tensor) -> Tensor:
        """The teacher's logits on a split."""
        teacher, weights = self.setup.teacher, self.setup.teacher_weights
        assert teacher is not None
        assert weights is not None
        return said(weights, self.setup.spec.data, split, x.device, lambda: answers(teacher, x, self.setup.normalise))

    def _frame(self, step: int) -> Frame:
        file = f"frames/{step:08d}.npz"
        arrays, notes = parted(measured(self.setup, step))
        write_arrays(self.folder / file, arrays, compress=False)
        return Frame(step=step, file=file, notes=notes)
