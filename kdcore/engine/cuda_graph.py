"""The student's step as one CUDA graph: what the step of a tiny network costs on a GPU is the launching of its kernels,
and a graph launches them all at once.

A graph repeats what it recorded, kernels and numbers alike. So a step is captured only where nothing but its tensors
differs from step to step: what the source draws is drawn before, the teacher is asked on the device, and the method
neither reads the progress of the run nor draws from the host's chance. The first steps are done as they always are, and
show whether that is so. The learning rate is a tensor; after a change of settings all begins anew.

It is off unless KDLAB_GRAPHS is 1. `make gpu` compares its bits with those of plain steps and measures what it saves.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

import torch
from torch import Tensor

from kdcore.contracts.method import Ask, Batch, Term
from kdcore.engine.setup import Setup
from kdcore.engine.step import Kept, learn
from kdcore.generation.source import Maker

LOG = logging.getLogger(__name__)
WARM = 3  # steps before the capture, in which libraries choose their kernels and reserve their memory
DRAWN: frozenset[Ask] = frozenset({"mixing", "second_view", "validation"})  # asks for which a step draws on the host
PROGRESS = Batch._fields.index("progress")
_READ: list[bool] = []  # filled where the progress of a noted batch is read


class _Noted(Batch):
    """A batch of which it is noted whether its progress is read."""

    @property
    def progress(self) -> float:
        _READ.append(True)
        share = self[PROGRESS]
        assert isinstance(share, float)
        return share


class Recorder(Protocol):
    """What captures work."""

    def warming(self) -> AbstractContextManager[None]:
        """Where the steps before a capture are done."""

    def record(self, work: Callable[[], Kept]) -> tuple[Kept, Callable[[], None]]:
        """Do some work once; what it left, and what does it again into the same tensors."""


class Graphs:
    """Captures CUDA graphs on a stream of their own."""

    def __init__(self) -> None:
        self.stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]

    @contextmanager
    def warming(self) -> Iterator[None]:
        """The stream of the captures, in step with the others."""
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            yield
        torch.cuda.current_stream().wait_stream(self.stream)

    def record(self, work: Callable[[], Kept]) -> tuple[Kept, Callable[[], None]]:
        """As `Recorder` says; a capture alone does nothing."""
        graph, outer = torch.cuda.CUDAGraph(), torch.cuda.current_stream()
        try:
            with torch.cuda.graph(graph, stream=self.stream):
                kept = work()
        finally:
            torch.cuda.set_stream(outer)  # a capture that fails may leave its own stream in place
        graph.replay()
        return kept, graph.replay


def graphs_for(device: torch.device) -> Recorder | None:
    """What captures the steps of a run on `device`, where that is wished."""
    return Graphs() if device.type == "cuda" and os.environ.get("KDLAB_GRAPHS") == "1" else None


def unfit(setup: Setup) -> str:
    """Why the steps of a run cannot be captured, as far as its settings say; "" where they may be."""
    if setup.spec.wall or setup.spec.service:
        return "its teacher is asked through the host"
    return "the host draws what a step shows" if DRAWN & setup.method.asks else ""


class Stepper:
    """Does the student's steps, captured where that can be.

    Args:
        setup: the run's parts.
        recorder: what captures; None leaves all steps plain.
    """

    def __init__(self, setup: Setup, recorder: Recorder | None) -> None:
        self.setup, self.recorder = setup, recorder
        self.fixed = not isinstance(setup.source, Maker) and setup.source.static  # then places say all of a batch
        self.refused = ""  # why steps stay plain
        self._begin()
        if recorder and (reason := unfit(setup)):
            self._refuse(reason)

    def _begin(self) -> None:
        self.known = self.setup.method, self.setup.rule.schedule
        self.warm = 0
        self.again: Callable[[], None] | None = None

    def _refuse(self, reason: str) -> None:
        self.refused = reason
        LOG.warning("Steps are not captured as a CUDA graph: %s.", reason)

    def step(self, index: Tensor, step: int, rate: float) -> Kept:
        """One update with training rows `index` (B,), or with made images."""
        setup = self.setup
        if self.recorder is None or self.refused:
            return learn(setup, setup.batch(index, step), rate)
        if any(now is not then for now, then in zip((setup.method, setup.rule.schedule), self.known, strict=True)):
            self._begin()
        inputs = (index,) if self.fixed else setup.drawn(index, step)[:3]
        if self.again is not None:
            return self._repeated(self.again, inputs, rate)
        self.warm += 1
        if self.warm > WARM:
            return self._captured(self.recorder, inputs, step, rate)
        with self.recorder.warming():
            return self._watched(inputs, step, rate)

    def _batch(self, inputs: tuple[Tensor, ...], step: int) -> Batch:
        if self.fixed:
            return self.setup.batch(inputs[0], step)
        raw, labels, index = inputs
        return self.setup.composed(raw, labels, index, step, known=not isinstance(self.setup.source, Maker))

    def _watched(self, inputs: tuple[Tensor, ...], step: int, rate: float) -> Kept:
        """A plain step that shows whether it can be captured."""
        chance = torch.get_rng_state()
        _READ.clear()
        kept = learn(self.setup, _Noted(*self._batch(inputs, step)), rate)
        if _READ:
            self._refuse("its method follows the progress of the run")
        elif not torch.equal(chance, torch.get_rng_state()):
            self._refuse("it draws from the host's chance")
        return kept

    def _captured(self, recorder: Recorder, inputs: tuple[Tensor, ...], step: int, rate: float) -> Kept:
        """The step that is recorded; one that cannot be is done plainly, and so are all after it."""
        setup = self.setup
        self.held = tuple(one.clone() for one in inputs)
        setup.rule.tune(rate)
        setup.rule.recorded = True
        try:
            self.kept, self.again = recorder.record(lambda: learn(setup, self._batch(self.held, step), rate))
            return copied(self.kept)
        except RuntimeError as error:  # what CUDA and torch raise where something cannot be part of a graph
            self._refuse(str(error).splitlines()[0])
            return learn(setup, self._batch(inputs, step), rate)
        finally:
            setup.rule.recorded = False

    def _repeated(self, again: Callable[[], None], inputs: tuple[Tensor, ...], rate: float) -> Kept:
        for held, new in zip(self.held, inputs, strict=True):
            held.copy_(new)
        self.setup.rule.tune(rate)
        again()
        return copied(self.kept)


def copied(kept: Kept) -> Kept:
    """What a step left, apart from the tensors that the next one writes to."""
    terms = {name: Term(term.weight, term.value.clone()) for name, term in kept.terms.items()}
    metrics = {name: value.clone() for name, value in kept.metrics.items()}
    return Kept(terms, kept.logits.clone(), kept.labels.clone(), metrics)
