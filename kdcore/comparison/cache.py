"""What was read or made of cases, kept within a bound of memory and let go once nobody asks for it.

All caches share one bound: whatever they hold together counts once, however many of them hold it, and what was asked
for longest ago goes first. The newest stays whatever its size, so that one large case is not read anew by every panel.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import fields, is_dataclass
from functools import wraps
from typing import Any, NamedTuple, TypeVar, cast
from weakref import WeakKeyDictionary

import numpy as np

from kdcore.comparison.log_probabilities import Logs

MOST_BYTES = 512 << 20
IDLE_S = 300.0
Made = TypeVar("Made")
Function = TypeVar("Function", bound=Callable[..., Any])


class _Entry(NamedTuple):
    value: Any
    held: dict[int, int]  # bytes of each array, by its identity
    at: float  # when it was last asked for


class ArrayCache:
    """Keeps what functions of hashable arguments return, within a bound that all of them share.

    Args:
        most_bytes: of all arrays that are kept; the newest value stays whatever its size.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self.most_bytes = most_bytes
        self._entries: OrderedDict[Hashable, _Entry] = OrderedDict()
        self._lock = threading.RLock()

    def kept(self, function: Function) -> Function:
        """Decorate a function whose values are to be kept."""

        @wraps(function)
        def asked(*arguments: Any) -> Any:
            key = (function, *arguments)
            with self._lock:
                known = self._entries.pop(key, None)
            value = known.value if known else function(*arguments)
            entry = _Entry(value, known.held if known else dict(_arrays((arguments, value))), time.monotonic())
            with self._lock:
                self._entries[key] = entry
                self._shrink()
            return value

        return cast("Function", asked)

    def held_bytes(self) -> int:
        """Bytes of all arrays that are kept, each counted once."""
        with self._lock:
            return sum({key: size for entry in self._entries.values() for key, size in entry.held.items()}.values())

    def release(self, idle_s: float = IDLE_S) -> None:
        """Let go of what nobody has asked for that long."""
        with self._lock:
            for key in [key for key, entry in self._entries.items() if entry.at <= time.monotonic() - idle_s]:
                del self._entries[key]

    def _shrink(self) -> None:
        while len(self._entries) > 1 and self.held_bytes() > self.most_bytes:
            self._entries.popitem(last=False)


CASES = ArrayCache()  # of all cases that this process shows
kept = CASES.kept


def remembered(function: Callable[..., Made]) -> Callable[..., Made]:
    """Keep what a function makes of an object for as long as that object lives, not longer."""
    known: WeakKeyDictionary[Any, dict[tuple[Any, ...], Made]] = WeakKeyDictionary()

    @wraps(function)
    def asked(one: Any, *more: Any) -> Made:
        found = known.setdefault(one, {})
        if more not in found:
            found[more] = function(one, *more)
        return found[more]

    return asked


def _arrays(thing: Any) -> list[tuple[int, int]]:
    """Identity and bytes of every array within a thing; views count as what they are views of."""
    if isinstance(thing, np.ndarray):
        while isinstance(thing.base, np.ndarray):
            thing = thing.base
        return [] if isinstance(thing, np.memmap) else [(id(thing), thing.nbytes)]
    if isinstance(thing, Logs):
        parts: list[Any] = [thing.values, thing.temperature, thing.rows]
    elif isinstance(thing, Mapping):
        parts = list(thing.values())
    elif is_dataclass(thing):
        parts = [getattr(thing, one.name) for one in fields(thing)]
    else:
        parts = list(thing) if isinstance(thing, (tuple, list)) else []
    return [found for part in parts for found in _arrays(part)]
