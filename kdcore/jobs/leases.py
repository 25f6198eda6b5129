"""Runs whose worker is gone: whoever waits for a run looks for them, so that nobody waits for ever."""

from __future__ import annotations

import time
from collections.abc import Collection

from kdcore.jobs.process import command_line
from kdcore.jobs.rows import HOST, LEASE_S, Run
from kdcore.jobs.store import Store

LOOK_S = 1.0  # between two looks


class Leases:
    """Ends the leases of workers that stopped sending heartbeats.

    A process that did not look for long was suspended, perhaps with the whole machine, so that no worker could send
    any: leases then count only after workers had time for it.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._looked = time.time()
        self._trust_from = 0.0

    def look(self) -> list[Run]:
        """Return the runs that were lost since the last look, once a second at most.

        Raises:
            BadInput: the store cannot be used.
        """
        now = time.time()
        if now - self._looked < LOOK_S:
            return []
        if now - self._looked > LEASE_S / 2:
            self._trust_from = now + LEASE_S
        self._looked = now
        return self.store.expire(now) if now >= self._trust_from else []


def release_dead(store: Store, besides: Collection[int] = ()) -> None:
    """Call runs of this machine's processes that have ended lost, except those of the process ids in `besides`.

    Raises:
        BadInput: the store cannot be used.
    """
    running = store.runs(states={"running"})
    for pid in {run.pid for run in running if run.pid and run.host == HOST} - set(besides):
        if not command_line(pid):
            store.gone(pid, obituary(None))


def settle(store: Store) -> None:
    """Let the store say of every run whether it still goes on, where perhaps no server looks after it.

    Raises:
        BadInput: the store cannot be used.
    """
    store.expire()
    release_dead(store)


def obituary(exit_code: int | None) -> str:
    """One sentence on how a worker ended; None where nobody knows."""
    how = {
        None: "is gone",
        -9: "was killed (signal 9; memory may have run out)",
        -11: "crashed (signal 11)",
    }.get(exit_code, f"ended with exit code {exit_code}")
    return f"Its worker {how}; resume goes on from the last checkpoint."
