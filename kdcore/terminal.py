"""Lines that a command or a helper process writes to stdout and stderr."""

from __future__ import annotations

import sys


def say(text: object = "", *, flush: bool = False) -> None:
    """Write a line to stdout, which other programs may read; `flush` sends it off at once."""
    sys.stdout.write(f"{text}\n")
    if flush:
        sys.stdout.flush()


def warn(text: object) -> None:
    """Write a line to stderr, where people read how a command fares."""
    sys.stderr.write(f"{text}\n")
