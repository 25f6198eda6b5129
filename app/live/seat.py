"""One open socket: what is waiting to be sent to it, newest only."""

from __future__ import annotations

import json
from asyncio import Event
from collections.abc import Awaitable, Callable
from typing import Any

from app.live.drawing import Drawn

Message = str | bytes


class Seat:
    """A viewer's place. Each subscription has one slot: what is not sent in time is replaced, never queued.

    Args:
        viewer: the browser's name.
        owners: whose runs it may change; the viewer's own alone when None.
    """

    def __init__(self, viewer: str, owners: frozenset[str] | None = None) -> None:
        self.viewer, self.owners = viewer, owners or frozenset({viewer})
        self._slots: dict[int, Message] = {}
        self._sent: dict[int, Message] = {}  # key -> payload, to keep quiet about what looks the same
        self._filled = Event()
        self._letters = 0

    def show(self, key: int, drawn: Drawn) -> None:
        """Put a drawing into the slot of subscription `key`, unless it is what was put there last."""
        if self._sent.get(key) != drawn.payload:
            self._sent[key] = drawn.payload
            self._put(key, drawn.message(key))

    def say(self, **words: Any) -> None:
        """Send a message of its own, which nothing replaces."""
        self._letters -= 1
        self._put(self._letters, json.dumps(words))

    def clear(self, key: int) -> None:
        """Forget a subscription."""
        self._slots.pop(key, None)
        self._sent.pop(key, None)

    async def pump(self, send: Callable[[Message], Awaitable[None]]) -> None:
        """Send what is put here, forever, as fast as the other side takes it."""
        while True:
            await self._filled.wait()
            self._filled.clear()
            while self._slots:
                key = next(iter(self._slots))
                await send(self._slots.pop(key))

    def _put(self, key: int, message: Message) -> None:
        self._slots[key] = message
        self._filled.set()
