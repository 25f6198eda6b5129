"""One run as people see it: where it stands, and what of it is on show.

While a run trains its teacher or another network first, that one's run is what there is to see, so that is shown.
"""

from __future__ import annotations

import time
from itertools import count
from pathlib import Path

from app.live.run_reader import News, Subject
from kdcore.contracts.control import Command
from kdcore.jobs.rows import Run
from kdcore.jobs.states import ACTIVE
from kdcore.jobs.store import Store
from kdcore.spec.lineage import forerunners, taught

ROW_S = {True: 0.08, False: 0.25}  # between two looks at the database, while something goes on or may go on again
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
        self.held = 0  # workers that paused runs keep while this one waits
        self.speed: float | None = None  # steps per second somebody asked for; None is as fast as it goes
        self.record_version = self.field_version = self.status_version = self.stage_version = next(VERSIONS)
        self.begun = 0.0  # when its newest attempt began, unix s
        self.paced = 0.0  # when it was last let go on after a pause, or set to another speed, unix s
        self._due = self._tick_due = 0.0
        self._forerunners = forerunners(self.run.spec)
        chosen = self._choose()
        self.subject, self._stage = Subject(store, chosen, self._learner(chosen)), _stage(chosen)
        self.poll()

    @property
    def teaching(self) -> bool:
        """Whether the run still trains its teacher or another network before its own."""
        return self.subject.id != self.run.id

    @property
    def begins(self) -> bool:
        """Whether the run on show has not left its first frame yet."""
        return not self.subject.frame

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
        held = len({one.pid for one in self.store.runs(states={"running"}) if one.paused}) if place else 0
        moved = (_facts(run), place, held) != (_facts(self.run), self.place, self.held)
        if run.attempt != self.run.attempt:
            self.speed = None  # asked of the attempt before
        self.run, self.place, self.held = run, place, held
        chosen = self._choose()
        self.begun = chosen.started_at or 0.0
        self.paced = self.store.obeyed_at({run.id, chosen.id}, ("resume", "speed"))
        if _stage(chosen) == self._stage:
            return moved
        self.subject = Subject(self.store, chosen, self._learner(chosen))
        self._stage, self.stage_version = _stage(chosen), next(VERSIONS)
        return True

    def _learner(self, chosen: Run) -> str:
        """Return what the network that a run trains is to the one that is watched."""
        if chosen.id != self.run.id:
            return self._forerunners.get(chosen.spec.hash, "teacher")
        return "student" if taught(chosen.spec) else "network"  # nobody's student, whoever it may teach afterwards

    def _choose(self) -> Run:
        """Return the run itself, or that of the network which is being trained before it can begin."""
        run = self.run
        while run.state == "running" and not self.store.events(run.id, limit=1):
            before = self._before(run)
            if before is None:
                break
            run = before
        return run

    def _before(self, run: Run) -> Run | None:
        """Return the run for which another one waits at this moment."""
        teacher = self.store.get(run.teacher_run) if run.teacher_run else None
        if teacher and teacher.state == "running":
            return teacher
        others = {one.hash for one in (*run.spec.mentors, run.spec.start) if one}
        running = self.store.runs(states={"running"}) if others else []
        return next(
            (one for one in running if one.spec.hash in others and (one.pid, one.host) == (run.pid, run.host)), None
        )


def _stage(run: Run) -> tuple[str, int, bool]:
    """While this stays, arrays of the run follow one another."""
    return run.id, run.attempt, run.state == "running"


def _facts(run: Run) -> tuple[object, ...]:
    """Return what people are shown of a row."""
    return run.state, run.paused, run.message, run.finished_at, run.attempt, run.cancel_at
