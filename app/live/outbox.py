"""One open socket: what is waiting to be sent to it, newest only."""

from __future__ import annotations

import json
from asyncio import Event
from collections.abc import Awaitable, Callable
from typing import Any

from app.live.render import DrawnPanel
from kdcore.jobs.tables import sealed

Message = str | bytes
LETTERS = 8  # that may wait for one socket; whoever takes none of them is not heard until it does


class Seat:
    """A viewer's place. Each subscription has one slot: what is not sent in time is replaced, never queued.

    A slot holds the drawing that all viewers share, so one that takes nothing costs no copy of it.

    Args:
        viewer: the browser's name.
        owners: whose runs it may change; the viewer's own alone when None.
    """

    def __init__(self, viewer: str, owners: frozenset[str] | None = None) -> None:
        self.viewer, self.owners = viewer, owners or frozenset({sealed(viewer)})
        self._slots: dict[int, DrawnPanel | str] = {}  # subscriptions and, by keys below 0, letters
        self._sent: dict[int, Message] = {}  # key -> payload, to keep quiet about what looks the same
        self._filled, self._roomy = Event(), Event()
        self._roomy.set()
        self._letters = 0  # that were ever written

    def show(self, key: int, drawn: DrawnPanel) -> None:
        """Put a drawing into the slot of subscription `key`, unless it is what was put there last."""
        if self._sent.get(key) != drawn.payload:
            self._sent[key] = drawn.payload
            self._put(key, drawn)

    def say(self, **words: Any) -> None:
        """Send a message of its own, which nothing replaces; see `room`."""
        self._letters += 1
        self._put(-self._letters, json.dumps(words))
        if self.waiting >= LETTERS:
            self._roomy.clear()

    @property
    def waiting(self) -> int:
        """Letters that were not sent yet."""
        return sum(key < 0 for key in self._slots)

    async def room(self) -> None:
        """Wait until another letter may be written, or nothing is sent any more."""
        await self._roomy.wait()

    def clear(self, key: int) -> None:
        """Forget a subscription."""
        self._slots.pop(key, None)
        self._sent.pop(key, None)

    async def pump(self, send: Callable[[Message], Awaitable[None]]) -> None:
        """Send what is put here, forever, as fast as the other side takes it."""
        try:
            while True:
                await self._filled.wait()
                self._filled.clear()
                while self._slots:
                    await send(self._next())
        finally:
            self._roomy.set()

    def _next(self) -> Message:
        key = next(iter(self._slots))
        waiting = self._slots.pop(key)
        if self.waiting < LETTERS:
            self._roomy.set()
        return waiting if isinstance(waiting, str) else waiting.message(key)

    def _put(self, key: int, message: DrawnPanel | str) -> None:
        self._slots[key] = message
        self._filled.set()
