"""A case on show, as the hub watches a run: what there is of it is read again when a file of its folder changes."""

from __future__ import annotations

import time
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from kdcore.comparison.case import Case, folder_of
from kdcore.contracts.control import Command
from kdcore.runs.record import written_ns

PREFIX = "case-"  # begins the id of every case, and of no run
LOOK_S = 0.3
_VERSIONS = count(1)


class _Ended(NamedTuple):
    """What the hub asks of a run, said of a case."""

    id: str
    owner: str | None = None
    recorded: bool = True
    state: str = "done"


class CaseWatcher:
    """A case, watched.

    Args:
        case_id: its id.

    Raises:
        BadInput: there is no such case.
    """

    def __init__(self, case_id: str) -> None:
        self._folder = folder_of(case_id)
        self._case, self._stamps, self._due = Case(self._folder), _stamps(self._folder), 0.0
        self.run = _Ended(case_id)
        self.subject = self
        self.step, self.id, self.folders = 0, case_id, set[Path]()
        self.begins = False
        self.record_version = self.field_version = self.status_version = self.stage_version = next(_VERSIONS)

    def poll(self) -> bool:
        """Look for news, and say whether there is any."""
        now = time.monotonic()
        if now < self._due:
            return False
        self._due = now + LOOK_S
        stamps = _stamps(self._folder)
        if stamps == self._stamps:
            return False
        self._case, self._stamps = Case(self._folder), stamps
        self.record_version = self.field_version = self.stage_version = next(_VERSIONS)
        return True

    def record(self, at: int | None = None, field: bool = False) -> Any:
        """Return the case as it is now."""
        return self._case

    def asked(self, wish: Command) -> None:
        """Nothing can be asked of a case over the socket."""


def _stamps(folder: Path) -> dict[str, int]:
    """When each file of measured arrays was written."""
    return {path.name: written_ns(path) for path in folder.glob("*.np[zy]")}
