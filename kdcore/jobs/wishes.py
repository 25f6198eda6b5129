"""What may be asked of a run, checked where it is asked, so that no worker fails on it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from kdcore.contracts.control import Command
from kdcore.errors import BadInput
from kdcore.spec.spec import Spec, change

FACTS: dict[str, Callable[[], dict[str, Any]]] = {  # what a wish sets on the run's row at once
    "pause": lambda: {"paused": True},
    "step": lambda: {"paused": True},
    "resume": lambda: {"paused": False},
    "cancel": lambda: {"cancel_at": time.time()},
}


def checked(command: Command, spec: Spec) -> object:
    """Return the command's value as it is stored.

    Raises:
        BadInput: there is no such command, or its value makes no sense for a run of `spec`.
    """
    name, value = command
    if name == "set":
        if not isinstance(value, dict) or not value:
            raise BadInput(
                f"'set' takes settings such as {{'schedule.lr': 0.01}}, but got {value!r}; name at least one."
            )
        for path, wish in value.items():
            spec = change(spec, path, wish)
    elif name == "step":
        value = 1 if value is None else value
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise BadInput(f"'step' takes a whole number of steps from 1 on, but got {value!r}.")
    elif name == "speed":
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0):
            raise BadInput(f"'speed' takes steps per second above 0, or nothing for full speed, but got {value!r}.")
    elif name not in FACTS:
        raise BadInput(f"A run cannot {name!r}; it can pause, resume, step, set, speed and cancel.")
    return value
