"""Runs on this machine: a supervisor that keeps one worker warm, and the calls the Lab makes.

The supervisor holds nothing that is not in the store. Kill it, and workers go on; the next one takes over what it
finds. A file lock lets one supervisor at a time look after a home; another waits until that one is gone.
"""

from __future__ import annotations

import fcntl
import logging
import signal
import threading
import time
from typing import IO, Literal, NamedTuple

import numpy as np

from kdcore.contracts import Command
from kdcore.errors import BadInput
from kdcore.jobs.log import Heard
from kdcore.jobs.process import WorkerProcess, command_line, is_worker, kill
from kdcore.jobs.rows import HOST, LEASE_S, Run
from kdcore.jobs.store import Store
from kdcore.record import read_arrays
from kdcore.spec import Spec

LOG = logging.getLogger(__name__)
TICK_S = 0.1
CALM_S = 3.0  # a run is left alone for so long before the next worker warms up beside it
GRACE_S = 3.0  # from "cancel" to SIGTERM
LAST_S = 5.0  # from "cancel" to SIGKILL
RETRY_S = 5.0  # between workers that do not even warm up


class Capacity(NamedTuple):
    """How busy this machine is."""

    slots: int
    running: int
    queued: int
    place: int | None = None  # of the run asked about; 1 is next, None when it does not wait


class LocalBackend:
    """What the Lab asks of this machine; another backend answers the same calls."""

    def __init__(self, store: Store, slots: int = 1) -> None:
        self.store, self.slots = store, slots

    def submit(self, spec: Spec, owner: str, *, label: str = "", fresh: bool = False) -> Run:
        """Queue a run, or return the owner's own of that spec unless `fresh`."""
        return self.store.submit(spec, owner, label=label, fresh=fresh)

    def control(self, run_id: str, command: Command, by: str) -> None:
        """Ask something of a run; see `Store.command`."""
        self.store.command(run_id, command, by)

    def status(self, run_id: str) -> Run:
        """The run as it is now."""
        return self.store.get(run_id)

    def events(self, run_id: str, after: int = 0, limit: int = 500) -> list[Heard]:
        """What the run told after its `after`-th event."""
        return self.store.events(run_id, after, limit)

    def latest(self, run_id: str, channel: Literal["frame", "field"]) -> dict[str, np.ndarray]:
        """The newest arrays of a channel; {} when there are none."""
        return read_arrays(self.store.get(run_id).folder / "live" / f"{channel}.npz")

    def capacity(self, run_id: str | None = None) -> Capacity:
        """How busy this machine is, and where a run stands in the queue."""
        waiting = self.store.waiting()
        pids = {run.pid for run in self.store.runs(states={"running"})}
        place = waiting.index(run_id) + 1 if run_id in waiting else None
        return Capacity(self.slots, len(pids), len(waiting), place)


class Supervisor:
    """Hands queued runs to warm workers and sees to it that no run stays in a wrong state.

    Args:
        store: the store of runs.
        slots: how many runs may go on at once.
    """

    def __init__(self, store: Store, slots: int = 1) -> None:
        self.store, self.slots = store, slots
        self._workers: list[WorkerProcess] = []
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock: IO[bytes] | None = None
        self._looked = time.time()  # for lapsed leases
        self._trust_from = 0.0  # leases count from then on
        self._hire_from = 0.0

    def start(self) -> None:
        """Begin to look after the store, in a thread."""
        self._stopping.clear()
        self._thread = threading.Thread(target=self._look_after, name="supervisor", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Leave: runs go on in their workers, the waiting worker ends."""
        self._stopping.set()
        self.store.news.set()
        if self._thread:
            self._thread.join()
        for worker in self._workers:
            if worker.run_id is None:
                worker.end()
            else:
                worker.close()
        self._workers.clear()
        if self._lock:
            self._lock.close()
            self._lock = None

    def _look_after(self) -> None:
        while not self._stopping.is_set():
            try:
                if self._in_charge():
                    self._tick()
            except (BadInput, OSError) as error:  # the store or the disk may come back; the server lives on
                LOG.error("%s", error)
                self._stopping.wait(1.0)
            self.store.news.wait(TICK_S)
            self.store.news.clear()

    def _in_charge(self) -> bool:
        """Whether this supervisor holds the lock of the home."""
        if self._lock is None:
            lock = (self.store.home / "supervisor.lock").open("ab")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.close()
                return False
            self._lock = lock
        return True

    def _tick(self) -> None:
        self._bury()
        self._expire()
        running = self.store.runs(states={"running"})
        self._insist(running)
        self._find_orphans(running)
        busy = {run.pid for run in running} | {worker.pid for worker in self._workers if worker.run_id}
        free = self.slots - len(busy)
        self._hire(free)
        self._hand_out(free)

    def _bury(self) -> None:
        """Workers that ended: what they left running is lost."""
        for worker in [worker for worker in self._workers if worker.exit_code is not None]:
            self._workers.remove(worker)
            if worker.run_id is None:
                self._misstarted(worker)
            self.store.gone(worker.pid, _obituary(worker.exit_code or 0))
            worker.close()

    def _misstarted(self, worker: WorkerProcess) -> None:
        """A worker ended before it had work; those who wait are told why."""
        self._hire_from = time.monotonic() + RETRY_S
        cause = (worker.errors().splitlines() or [_obituary(worker.exit_code or 0)])[-1]
        LOG.error("A worker ended before it was ready: %s", cause)
        for run_id in self.store.waiting():
            self.store.note(run_id, message=f"No worker could start ({cause}); KD Lab keeps trying.")

    def _expire(self) -> None:
        """Once a second: workers that stopped beating lose their runs. A machine that slept gives them time to beat."""
        now = time.time()
        if now - self._looked < 1.0:
            return
        if now - self._looked > LEASE_S / 2:
            self._trust_from = now + LEASE_S
        self._looked = now
        if now >= self._trust_from:
            for run in self.store.expire(now):
                self._signal(run, signal.SIGKILL)

    def _insist(self, running: list[Run]) -> None:
        """Workers that do not heed "cancel" are asked again, then killed."""
        for run in running:
            waited_s = time.time() - run.cancel_at if run.cancel_at else 0.0
            if waited_s > GRACE_S:
                self._signal(run, signal.SIGKILL if waited_s > LAST_S else signal.SIGTERM)

    def _signal(self, run: Run, number: signal.Signals) -> None:
        if run.pid and run.host == HOST and is_worker(run.pid):
            kill(run.pid, number)

    def _find_orphans(self, running: list[Run]) -> None:
        """Runs of processes that are no children of ours and have ended."""
        ours = {worker.pid for worker in self._workers}
        for pid in {run.pid for run in running if run.pid and run.host == HOST} - ours:
            if not command_line(pid):
                self.store.gone(pid, _obituary(None))

    def _hire(self, free: int) -> None:
        """Keep one worker warm; beside a run that just began, a little later, unless another may begin now."""
        now = time.monotonic()
        idle = any(worker.run_id is None for worker in self._workers)
        wanted = all(now - worker.since >= CALM_S for worker in self._workers) or (free > 0 and self.store.waiting())
        if not idle and wanted and now >= self._hire_from:
            self._workers.append(WorkerProcess(self.store, self.store.news.set))

    def _hand_out(self, free: int) -> None:
        """Waiting runs to ready workers, while there are free slots."""
        ready = [worker for worker in self._workers if worker.free][: max(0, free)]
        if ready:
            given = {worker.run_id for worker in self._workers}
            waiting = (run_id for run_id in self.store.waiting() if run_id not in given)
            for worker, run_id in zip(ready, waiting, strict=False):
                worker.give(run_id)


def _obituary(exit_code: int | None) -> str:
    """One sentence on how a worker ended; None where nobody knows."""
    how = {
        None: "is gone",
        -9: "was killed (signal 9; memory may have run out)",
        -11: "crashed (signal 11)",
    }.get(exit_code, f"ended with exit code {exit_code}")
    return f"Its worker {how}; resume goes on from the last checkpoint."
