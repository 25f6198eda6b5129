"""One run as people see it: where it stands, and what of it is on show.

While a run trains its teacher first, the teacher's run is what there is to see, so that is shown.
"""

from __future__ import annotations

import time
from itertools import count
from pathlib import Path

from app.live.subject import News, Subject
from kdcore.contracts import Command
from kdcore.jobs.rows import Run
from kdcore.jobs.states import ACTIVE
from kdcore.jobs.store import Store

ROW_S = {True: 0.08, False: 1.0}  # between two looks at the database, while something goes on or not
VERSIONS = count(1)  # no two states of anything share a number
TICK_S = 1.0  # clocks on the page move this often


class Watcher:
    """A run, watched.

    Args:
        store: where runs are.
        run_id: the run.

    Raises:
        BadInput: there is no such run.
    """

    def __init__(self, store: Store, run_id: str) -> None:
        self.store = store
        self.run = store.get(run_id)
        self.place = 0  # in the queue, from 1; 0 when the run does not wait
        self.speed: float | None = None  # steps per second somebody asked for; None is as fast as it goes
        self.record_version = self.field_version = self.status_version = self.stage_version = next(VERSIONS)
        self._due = self._tick_due = 0.0
        chosen = self._choose()
        self.subject, self._stage = Subject(store, chosen), _stage(chosen)
        self.poll()

    @property
    def teaching(self) -> bool:
        """Whether the run still trains its teacher."""
        return self.subject.id != self.run.id

    @property
    def folders(self) -> set[Path]:
        """Where those who train look for an audience; none when nothing is trained."""
        return {self.run.folder, self.subject.folder} if self.run.state == "running" else set()

    def asked(self, wish: Command) -> None:
        """Somebody asked something of the run: look at it at once."""
        if wish.name == "speed":
            self.speed = wish.value if isinstance(wish.value, (int, float)) else None
        self._due = 0.0

    def poll(self) -> bool:
        """Look for news, and say whether there is any."""
        now = time.monotonic()
        listened, moved = News(), False
        if now >= self._due:
            moved = self._look_at_row()
            listened = self.subject.listen()
            self._due = now + ROW_S[self.run.state in ACTIVE]
        looked = self.subject.look()
        ticked = self.run.state == "running" and now >= self._tick_due
        if ticked:
            self._tick_due = now + TICK_S
        record = moved or listened.record or looked.record
        field = moved or listened.field or looked.field
        news = next(VERSIONS)
        self.record_version = news if record else self.record_version
        self.field_version = news if field else self.field_version
        self.status_version = news if record or field or ticked else self.status_version
        return record or field or ticked

    def _look_at_row(self) -> bool:
        run = self.store.get(self.run.id)
        waiting = self.store.waiting() if run.state == "queued" else []
        place = waiting.index(run.id) + 1 if run.id in waiting else 0
        moved = _facts(run) != _facts(self.run) or place != self.place
        self.run, self.place = run, place
        chosen = self._choose()
        if _stage(chosen) == self._stage:
            return moved
        self.subject, self._stage, self.stage_version = Subject(self.store, chosen), _stage(chosen), next(VERSIONS)
        return True

    def _choose(self) -> Run:
        """The run itself, or its teacher's while that is being trained."""
        run = self.run
        if run.state != "running" or not run.teacher_run or self.store.events(run.id, limit=1):
            return run
        teacher = self.store.get(run.teacher_run)
        return teacher if teacher.state == "running" else run


def _stage(run: Run) -> tuple[str, int, bool]:
    """While this stays, arrays of the run follow one another."""
    return run.id, run.attempt, run.state == "running"


def _facts(run: Run) -> tuple[object, ...]:
    """What people are shown of a row."""
    return run.state, run.paused, run.message, run.finished_at, run.attempt
