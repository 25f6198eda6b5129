"""What a terminal or a program hears of a run: while it goes on, and how it ended."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Self

from app.text.phrases import outcome
from kdcore.events import Evaluated, Event, Step
from kdcore.spec.lineage import taught
from kdcore.terminal import say

if TYPE_CHECKING:
    from rich.progress import TaskID

    from kdcore.jobs.rows import Run

ENDINGS = {
    "queued": "The run waits for its turn.",
    "running": "The run is under way.",
    "paused": "The run is paused.",
    "done": "The run is done.",
    "failed": "The run failed.",
    "cancelled": "The run was stopped.",
    "lost": "The run was interrupted; it can go on from its last checkpoint.",
}


def ending(run: Run) -> str:
    """How a run ended, or where it stands."""
    if run.result is not None:
        return outcome(run.result, taught(run.spec))
    said = f" {run.message.rstrip('.')}." if run.message and run.state != "cancelled" else ""
    return ENDINGS.get(run.standing, ENDINGS[run.state]) + said


class Teller:
    """Says nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def event(self, event: Event) -> None:
        """Show an event of the run."""

    def look(self, run: Run, teacher: Run | None) -> None:
        """Where the run stands, and the run of its teacher."""


class Lines(Teller):
    """One JSON event a line on stdout."""

    def event(self, event: Event) -> None:
        """Print it, so that it can be read at once."""
        say(event.model_dump_json(), flush=True)


class Bar(Teller):
    """Progress of teacher and student on stderr."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[said]}"),
            console=Console(file=sys.stderr),
        )
        self._bars: dict[str, TaskID] = {}
        self._loss = self._accuracy = ""

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def event(self, event: Event) -> None:
        """Keep the newest loss and accuracy."""
        if isinstance(event, Step):
            self._loss = f"loss {event.loss:.3f}"
        elif isinstance(event, Evaluated):
            self._accuracy = f"accuracy {event.student.accuracy:.3f}"

    def look(self, run: Run, teacher: Run | None) -> None:
        """Move both bars; what takes long before the first step is told in words."""
        if teacher and teacher.state != "done":
            self._move("Teacher", teacher, teacher.message or "")
        elif teacher and "Teacher" in self._bars:
            self._move("Teacher", teacher, "")
        self._move("Student", run, run.message or " ".join(filter(None, (self._loss, self._accuracy))))

    def _move(self, name: str, run: Run, said: str) -> None:
        if name not in self._bars:
            self._bars[name] = self._progress.add_task(name, total=run.steps, completed=run.step, said="")
        if run.paused:  # the time left is estimated anew from where it goes on
            self._progress.reset(self._bars[name], total=run.steps, completed=run.step, said="paused")
            return
        self._progress.update(self._bars[name], total=run.steps, completed=run.step, said=said)
