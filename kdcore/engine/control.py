"""Between two steps: hear wishes, show what is looked at, wait while paused or slowed down.

Watching must not cost training more than its share, so a measure that takes long is taken less often.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from kdcore.contracts.control import Command, Desk
from kdcore.engine.frames import measured
from kdcore.engine.setup import Setup
from kdcore.events import Asked, Changed, Evaluated
from kdcore.spec.schedule import Json

LOOK_S = 0.005  # between two looks at the desk
FRAME_SHARE = 0.02  # of the time may go into frames for those who look
FIELD_SHARE = 0.15  # and into the decision field


class RunControl:
    """What a person wishes of one run, and who looks at it.

    Args:
        desk: where wishes come from and where arrays are shown.
        setup: the run's parts.
        rested: told again and again of a pause, with the step and for how long it lasts (s).
    """

    def __init__(self, desk: Desk, setup: Setup, rested: Callable[[int, float], Iterator[Asked | Evaluated]]) -> None:
        self.desk, self.setup, self.rested = desk, setup, rested
        self.paused, self.cancelled = False, False
        self.allowed = 0  # steps that may be done while paused
        self.pace_s = 0.0  # least time from step to step
        self.next_look = self.next_step = 0.0
        self.shown: dict[str, tuple[int, float]] = {}  # channel -> step shown last, and when the next is due

    @property
    def due(self) -> bool:
        """Whether to look before the next step."""
        return time.perf_counter() >= self.next_look or self.paused

    def look(self, step: int) -> Iterator[Changed | Asked | Evaluated]:
        """Return when the next step may be done, or when the run is cancelled."""
        came = time.perf_counter()
        while True:
            for command in self.desk.commands():
                yield from self._obey(command, step)
            if self.cancelled:
                return
            self._show(step)
            now = time.perf_counter()
            self.next_look = now + LOOK_S
            if self.paused and self.allowed == 0:
                yield from self.rested(step, now - came)
                time.sleep(LOOK_S)
            elif self.pace_s and now < self.next_step:
                time.sleep(min(LOOK_S, self.next_step - now))
            else:
                break
        self.allowed = max(0, self.allowed - 1)
        if self.pace_s:
            self.next_step, self.next_look = now + self.pace_s, 0.0

    def _obey(self, command: Command, step: int) -> Iterator[Changed]:
        """Carry out one wish; a changed setting is an event, so that a replay knows."""
        if command.name == "pause":
            self.paused, self.allowed = True, 0
        elif command.name == "resume":
            self.paused = False
        elif command.name == "step":
            wish = command.value
            self.paused, self.allowed = True, self.allowed + (int(wish) if isinstance(wish, (int, float)) else 1)
        elif command.name == "speed":
            wish = command.value
            self.pace_s, self.next_step = 1 / wish if isinstance(wish, (int, float)) and wish > 0 else 0.0, 0.0
        elif command.name == "cancel":
            self.cancelled = True
        elif isinstance(command.value, dict):
            for path, value in command.value.items():
                yield from self.set(path, value, step)

    def set(self, path: str, value: Json, step: int) -> Iterator[Changed]:
        """Change one setting, and tell of it where it was another before."""
        old, new = self.setup.set(path, value)
        if old != new:
            yield Changed.model_validate({"step": step, "path": path, "old": old, "new": new})

    def _show(self, step: int) -> None:
        """Measure for those who look."""
        audience = self.desk.audience()
        if audience.frames_hz and self._wants("frame", step):
            began = time.perf_counter()
            self.desk.show("frame", measured(self.setup, step, recorded=False))
            self._note("frame", step, began, audience.frames_hz, FRAME_SHARE)
        if audience.field_hz and self.setup.probe.plane is not None and self._wants("field", step):
            began = time.perf_counter()
            self.desk.show("field", self.setup.probe.field(step))
            self._note("field", step, began, audience.field_hz, FIELD_SHARE)

    def _wants(self, channel: str, step: int) -> bool:
        """Whether to measure now: there is something new, and it is time or nothing else is going on."""
        last, due = self.shown.get(channel, (-1, 0.0))
        return last != step and (self.paused or time.perf_counter() >= due)

    def _note(self, channel: str, step: int, began: float, rate_hz: float, share: float) -> None:
        """Set when the next look is due: at the asked rate, or later where one costs more than its share of the
        time.
        """
        self.shown[channel] = step, began + max(1 / rate_hz, (time.perf_counter() - began) / share)
