"""The run that is on show: its story and its newest arrays, read as they appear."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kdcore.errors import BadInput
from kdcore.events import Frame, Started
from kdcore.jobs.log import Heard, story
from kdcore.jobs.rows import Run
from kdcore.jobs.store import Store
from kdcore.runs.record import Record, gather, read_arrays, read_frame

Arrays = Mapping[str, np.ndarray]
LOOKS = 200  # at live arrays that are remembered, to tell how fast it goes


class News(NamedTuple):
    """What there is to redraw."""

    record: bool = False
    field: bool = False


class Subject:
    """One run's story and newest arrays.

    While it trains, the arrays are those made for people who look; afterwards only what was recorded counts, so that
    the picture is the same tomorrow.

    Args:
        store: where runs are.
        run: the run, as it stood when it came on show.
        learner: what the network that it trains is to those who look.
    """

    def __init__(self, store: Store, run: Run, learner: str = "student") -> None:
        self.learner = learner
        self.store, self.id, self.folder, self.spec = store, run.id, run.folder, run.spec
        self.live = run.state == "running"
        self.told: list[Heard] = []
        self.frame: Arrays = {}
        self.field: Arrays = {}
        self._static: Arrays = {}
        self._seq = 0
        self._file = ""
        self._stamps: dict[Path, int] = {}
        self.looks: deque[tuple[float, int]] = deque(maxlen=LOOKS)  # when live arrays were written, and their step

    @property
    def step(self) -> int:
        """Steps done, as far as anybody has heard."""
        heard = self.told[-1].event.step if self.told else 0
        return max(heard, step_of(self.frame), step_of(self.field))

    @property
    def frames(self) -> list[int]:
        """Steps of the recorded frames, ascending."""
        return sorted({heard.event.step for heard in self.told if isinstance(heard.event, Frame)})

    def listen(self) -> News:
        """Read what was told since the last time, and the newest recorded frame."""
        new = self.store.events(self.id, after=self._seq, limit=None)
        if not new:
            return News()
        self._seq = new[-1].seq
        resumed = any(isinstance(heard.event, Started) for heard in new)
        self.told = story([*self.told, *new]) if resumed else [*self.told, *new]
        if resumed:
            self._forget()
        file = next((h.event.file for h in reversed(self.told) if isinstance(h.event, Frame)), "")
        if file == self._file:
            return News(record=True)
        self._file = file
        return News(record=True, field=self._show(read_frame(self.folder, file)))

    def _forget(self) -> None:
        """Take nothing for what it shows now that the attempt before left."""
        self.frame, self.field, self._file = {}, {}, ""
        self.looks.clear()

    def look(self) -> News:
        """Read the live arrays where they are new."""
        if not self.live:
            return News()
        frame, field = self._fresh("frame"), self._fresh("field")
        if field:
            self.field = field
        shown = bool(frame) and self._show(frame)
        return News(record=shown, field=shown or bool(field))

    def record(self, at: int | None = None, field: bool = False) -> Record:
        """Return the record as it is now, or as it was at a recorded frame.

        Args:
            at: the step of the frame; None is now.
            field: whether the live decision field counts, which is newer than the frame at times.

        Raises:
            BadInput: no frame was recorded at that step.
        """
        if at is not None:
            return self._replayed(at)
        newer = field and step_of(self.field) > step_of(self.frame)
        return self._gather(self.told, {**self.frame, **self.field} if newer else self.frame)

    def _replayed(self, at: int) -> Record:
        file = next((h.event.file for h in self.told if isinstance(h.event, Frame) and h.event.step == at), None)
        if file is None:
            steps = self.frames
            known = f"the {len(steps)} there are lie between {steps[0]} and {steps[-1]}" if steps else "there is none"
            raise BadInput(f"No frame was recorded at step {at}; {known}.")
        return self._gather([heard for heard in self.told if heard.event.step <= at], read_frame(self.folder, file))

    def _gather(self, told: list[Heard], frame: Arrays) -> Record:
        if not self._static:
            self._static = read_arrays(self.folder / "static.npz")
        events = [heard.event for heard in told]
        return gather(self.spec, events, self.folder, frame, static=self._static, learner=self.learner)

    def _fresh(self, channel: str) -> Arrays:
        path = self.folder / "live" / f"{channel}.npz"
        try:
            stamp = path.stat().st_mtime_ns
        except FileNotFoundError:
            return {}
        if self._stamps.get(path) == stamp:
            return {}
        self._stamps[path] = stamp
        arrays = read_arrays(path)
        if arrays:
            self.looks.append((stamp / 1e9, step_of(arrays)))
        return arrays

    def _show(self, frame: Arrays) -> bool:
        """Put a frame on show unless the one there is newer."""
        newer = step_of(frame) >= step_of(self.frame)
        if newer:
            self.frame = frame
        return newer


def step_of(arrays: Arrays) -> int:
    """Return the step at which arrays were measured; -1 of none."""
    return int(arrays["step"]) if "step" in arrays else -1
