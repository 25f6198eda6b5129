"""A cache of one value, for what fills much of the memory."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class SingleEntryCache(Generic[Value]):
    """Keeps the value of the newest key; the one before it is let go before another is made."""

    def __init__(self) -> None:
        self._entry: tuple[Hashable, Value] | None = None

    @property
    def value(self) -> Value | None:
        """What is kept, whatever its key."""
        return self._entry[1] if self._entry else None

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """Return the value of a key, made by `make` where it is not kept; nothing is kept where that fails."""
        if self._entry is None or self._entry[0] != key:
            self._entry = None
            self._entry = key, make()
        return self._entry[1]
