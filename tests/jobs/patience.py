"""Waiting for what other processes do."""

import time
from collections.abc import Callable

PATIENCE_S = 60.0  # a test that waits longer has failed


def until(true: Callable[[], object], what: str = "") -> None:
    """Return once something holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, f"waited {PATIENCE_S} s in vain {what}"
        time.sleep(0.01)
