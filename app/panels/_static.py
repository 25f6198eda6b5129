"""Remembers what was made of a run's static arrays, so that a frame pays only for what is new."""

from collections import deque
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from kdcore.runs.record import Arrays

T = TypeVar("T")
REMEMBERED = 32


def per_static(make: Callable[..., T]) -> Callable[..., T]:
    """Keep `make(static, *key)` for the newest static arrays, told apart by being the same object, and hashable keys.

    The arrays are kept alive with it, so their identity cannot pass to others. Two threads may both make it once.
    """
    known: deque[tuple[Arrays, tuple[Hashable, ...], T]] = deque(maxlen=REMEMBERED)

    def remembered(static: Arrays, *key: Any) -> T:
        for seen, seen_key, made in tuple(known):
            if seen is static and seen_key == key:
                return made
        made = make(static, *key)
        known.append((static, key, made))
        return made

    return remembered
