"""What the script says: one line per check, and what they come to."""

from __future__ import annotations

import json
import platform
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import torch

Status = Literal["held", "FAILED", "skipped"]
LATE = "no time was left for it"


class Line(NamedTuple):
    """One check: what was looked at, what was found, and what was asked of it."""

    status: Status
    what: str
    figure: str
    asked: str = ""  # the tolerance, with its reason where it is not plain

    def __str__(self) -> str:
        return f"{self.status:<8}{self.what}: {self.figure}" + (f" ({self.asked})" if self.asked else "")


class Clock:
    """How much time a check has left: its own share, and what the whole script has.

    Args:
        limit_s: of the whole script.
    """

    def __init__(self, limit_s: float) -> None:
        self.end = time.monotonic() + limit_s
        self.share_end = self.end

    def begin(self, share_s: float) -> None:
        """A check begins, which may take so long."""
        self.share_end = min(self.end, time.monotonic() + share_s)

    @property
    def over(self) -> bool:
        """Whether the check must end now."""
        return time.monotonic() >= self.share_end

    def each(self, what: str, names: Iterable[str], look: Callable[[str], Line]) -> Iterator[Line]:
        """The line of each name, as long as there is time; an error is a line too."""
        for name in names:
            if self.over:
                yield Line("skipped", f"{what} {name}", LATE)
            else:
                yield tried(f"{what} {name}", lambda name=name: look(name))


def tried(what: str, look: Callable[[], Line]) -> Line:
    """The line of a check, or the error that broke it off."""
    try:
        return look()
    except Exception as error:  # noqa: BLE001 - a check that breaks off is a line of its own, and the others go on
        return Line("FAILED", what, f"{type(error).__name__}: {error}".splitlines()[0])


def within(what: str, found: dict[str, float], most: dict[str, float], why: str = "") -> Line:
    """Whether each of several figures is at most what is asked of it; one that is no number is not."""
    right = all(found[name] <= most[name] for name in most)
    figure = ", ".join(f"{name} {value:.2g}" for name, value in found.items())
    asked = ", ".join(f"{name} at most {value:.2g}" for name, value in most.items()) + (f"; {why}" if why else "")
    return Line("held" if right else "FAILED", what, figure, asked)


def summed(lines: Iterable[Line]) -> str:
    """How many held, failed and were skipped."""
    count = Counter(line.status for line in lines)
    return f"{count['held']} held, {count['FAILED']} failed, {count['skipped']} skipped"


def machine(device: torch.device) -> dict[str, str]:
    """What the figures were measured on, and when."""
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    return {
        "date": time.strftime("%Y-%m-%d"),
        "device": gpu or device.type,
        "torch": torch.__version__,
        "cuda": str(torch.version.cuda),
        "python": platform.python_version(),
        "machine": platform.machine(),
    }


def kept(path: Path, device: torch.device, lines: list[Line]) -> None:
    """Write all lines as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"on": machine(device), "lines": [line._asdict() for line in lines]}, indent=1))
