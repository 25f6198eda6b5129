"""The desk of a run at work: wishes come in from the store, events and arrays go out to those who look.

Asked between optimiser steps, so every call is cheap: the store is read at most 20 times a second, and events are
written in batches. A run that waits for its teacher lends its wishes to the teacher's desk.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Literal

import numpy as np

from kdcore.atomic import write_text
from kdcore.contracts.control import Audience, Command, Desk
from kdcore.events import Asked, Changed, Checkpoint, Event, Finished
from kdcore.jobs.rows import Run
from kdcore.jobs.store import Store
from kdcore.runs.record import write_arrays

WISHES_S = 0.05  # between two looks for wishes, and between two batches of events
AUDIENCE_S = 0.25  # between two looks for watchers
STALE_S = 3.0  # after which a watcher who said nothing is gone
AT_ONCE = (Asked, Checkpoint, Changed, Finished)


def attend(folder: Path, audience: Audience) -> None:
    """Say how often somebody looks at the run in `folder`; say it again before STALE_S have passed."""
    write_text(folder / "live" / "audience.json", json.dumps(audience._asdict()))


def audience_of(folder: Path) -> Audience:
    """Who looks at the run in `folder` now; nobody when what was said is stale or damaged."""
    path = folder / "live" / "audience.json"
    try:
        if time.time() - path.stat().st_mtime > STALE_S:
            return Audience()
        return Audience(**{name: float(value) for name, value in json.loads(path.read_text()).items()})
    except (OSError, ValueError, TypeError, AttributeError):
        return Audience()


class WorkerDesk(Desk):
    """One attempt at one run.

    Args:
        store: where wishes come from and events go.
        run: the run, claimed by this process.
        stopping: set when the process is asked to end.
        pupil: the desk of the run that waits for this one, its teacher.
    """

    def __init__(
        self, store: Store, run: Run, stopping: threading.Event | None = None, pupil: WorkerDesk | None = None
    ) -> None:
        self.store, self.run, self.pupil = store, run, pupil
        self.stopping = stopping or threading.Event()
        self.cancelled = False  # somebody asked this run to stop
        self._held: list[Command] = []  # wishes made while the teacher was trained
        self._paused = False
        self._events: list[Event] = []
        self._writing = threading.Lock()
        self._audience = Audience()
        self._asked = self._looked = self._flushed = float("-inf")

    # Events out -----------------------------------------------------------------------------------------------------

    def tell(self, event: Event) -> None:
        """Store an event, at once or with the next batch."""
        with self._writing:
            self._events.append(event)
        first = event.step == 0  # somebody may wait for the first picture
        if first or isinstance(event, AT_ONCE) or time.monotonic() - self._flushed >= WISHES_S:
            self.flush()

    def flush(self) -> None:
        """Store the events that wait; the heartbeat does so too, for steps that take long."""
        with self._writing:
            if self._events:
                self.store.append(self.run.id, self._events, self.run.attempt)
                self._events = []
                self._flushed = time.monotonic()

    def show(self, channel: Literal["frame", "field"], arrays: dict[str, np.ndarray]) -> None:
        """Put arrays where those who look find them; a disk that refuses does not end the run."""
        self.flush()
        with suppress(OSError):
            write_arrays(self.run.folder / "live" / f"{channel}.npz", arrays, compress=False)

    # Wishes in ------------------------------------------------------------------------------------------------------

    def commands(self) -> list[Command]:
        """Wishes since the last call; "cancel" when the process is asked to end."""
        if self.stopping.is_set():
            return [Command("cancel")]
        if self._events and time.monotonic() - self._flushed >= WISHES_S:
            self.flush()
        found, self._held = [*self._held, *self._new()], []
        self.cancelled |= any(command.name == "cancel" for command in found)
        return found

    def audience(self) -> Audience:
        """Who looks now."""
        if time.monotonic() - self._looked >= AUDIENCE_S:
            self._looked = time.monotonic()
            self._audience = audience_of(self.run.folder)
        return self._audience

    def wait(self) -> None:
        """Hear wishes while somebody else trains the teacher; they hold once the run begins."""
        time.sleep(WISHES_S)
        self._lend()

    def begin(self) -> None:
        """Let what was asked meanwhile hold from the first step, as the teacher is there."""
        self._asked = float("-inf")
        if self._paused:
            self._held.insert(0, Command("pause"))

    def _new(self, leave: Collection[str] = ()) -> list[Command]:
        """Return what was asked of this run, and of the run that waits for it, but for the wishes named in `leave`."""
        if time.monotonic() - self._asked < WISHES_S:
            return []
        self._asked = time.monotonic()
        own = self.store.take_commands(self.run.id, leave)
        return own + self.pupil._lend(self.run.id) if self.pupil and not self.pupil.cancelled else own

    def _lend(self, teacher: str | None = None) -> list[Command]:
        """Wishes that hold for the teacher too; the others are kept until this run begins.

        Settings stay in the store till then, as this process may end before.
        """
        lent = []
        for command in self._new(leave=("set",)):
            if command.name in ("pause", "resume", "step"):
                self._paused = command.name != "resume"
            elif command.name == "cancel":
                self.cancelled = True
            else:
                self._held.append(command)
            if command.name != "cancel":
                lent.append(command)
        if self.cancelled:
            self.store.move(self.run.id, "cancelled", attempt=self.run.attempt, message="Stopped.")
            lent += [] if teacher and self.store.awaited(teacher) else [Command("cancel")]
        return lent
