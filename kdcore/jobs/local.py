"""Runs on this machine: a supervisor that keeps one worker warm.

The supervisor holds nothing that is not in the store. Kill it, and workers go on; the next one takes over what it
finds. A file lock lets one supervisor at a time look after a home; another waits until that one is gone.
"""

from __future__ import annotations

import fcntl
import logging
import signal
import threading
import time
from typing import IO

from kdcore.errors import BadInput
from kdcore.jobs.leases import Leases, obituary, release_dead
from kdcore.jobs.process import WorkerProcess, is_worker, kill
from kdcore.jobs.rows import HOST, Run
from kdcore.jobs.store import Store

LOG = logging.getLogger(__name__)
TICK_S = 0.1
CALM_S = 3.0  # a run is left alone for so long before the next worker warms up beside it
GRACE_S = 3.0  # from "cancel" to SIGTERM
LAST_S = 5.0  # from "cancel" to SIGKILL
RETRY_S = 5.0  # between workers that do not even begin a run
READY_S = 300.0  # a worker that is not warm by then hangs
CLAIM_S = 60.0  # a worker that has not claimed the run it was given by then hangs


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
        self._leases = Leases(store)
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
            except Exception:  # a bug, but without a supervisor every run would wait for ever
                LOG.exception("The supervisor goes on after an error")
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
        self._end_hanging()
        for run in self._leases.look():
            self._signal(run, signal.SIGKILL)
        running = self.store.runs(states={"running"})
        self._insist(running)
        release_dead(self.store, {worker.pid for worker in self._workers})
        busy = {run.pid for run in running} | {worker.pid for worker in self._workers if worker.run_id}
        free = self.slots - len(busy)
        self._hire(free)
        self._hand_out(free)

    def _bury(self) -> None:
        """Workers that ended: what they left running is lost. Where the store refuses, the next tick tries again."""
        for worker in [worker for worker in self._workers if worker.exit_code is not None]:
            self.store.gone(worker.pid, obituary(worker.exit_code or 0))
            if worker.run_id is None or worker.run_id in self.store.waiting():
                self._misstarted(worker)
            self._workers.remove(worker)
            worker.close()

    def _end_hanging(self) -> None:
        """Workers that neither become ready nor begin the run they were given are killed; that run still waits."""
        hanging = [worker for worker in self._workers if not worker.ready and _late(worker)]
        waiting = self.store.waiting() if hanging else []
        for worker in hanging:
            if worker.run_id is None or worker.run_id in waiting:
                kill(worker.pid, signal.SIGKILL)

    def _misstarted(self, worker: WorkerProcess) -> None:
        """Tell those who wait why a worker ended before it began a run."""
        self._hire_from = time.monotonic() + RETRY_S
        cause = (worker.errors().splitlines() or [obituary(worker.exit_code or 0)])[-1]
        LOG.error("A worker ended before it began a run: %s", cause)
        for run_id in self.store.waiting():
            self.store.note(run_id, message=f"No worker could start ({cause}); KD Lab keeps trying.")

    def _insist(self, running: list[Run]) -> None:
        """Workers that do not heed "cancel" are asked again, then killed."""
        for run in running:
            waited_s = time.time() - run.cancel_at if run.cancel_at else 0.0
            if waited_s > GRACE_S:
                self._signal(run, signal.SIGKILL if waited_s > LAST_S else signal.SIGTERM)

    def _signal(self, run: Run, number: signal.Signals) -> None:
        if run.pid and run.host == HOST and is_worker(run.pid):
            kill(run.pid, number)

    def _hire(self, free: int) -> None:
        """Keep one worker warm; beside a run that just began, a little later, unless another may begin now."""
        now = time.monotonic()
        idle = any(worker.run_id is None for worker in self._workers)
        wanted = all(now - worker.since >= CALM_S for worker in self._workers) or (free > 0 and self.store.waiting())
        if not idle and wanted and now >= self._hire_from:
            self._workers.append(WorkerProcess(self.store, self.store.news.set))

    def _hand_out(self, free: int) -> None:
        """Hand waiting runs to ready workers, while there are free slots."""
        ready = [worker for worker in self._workers if worker.free][: max(0, free)]
        if ready:
            given = {worker.run_id for worker in self._workers}
            waiting = (run_id for run_id in self.store.waiting() if run_id not in given)
            for worker, run_id in zip(ready, waiting, strict=False):
                worker.give(run_id)


def _late(worker: WorkerProcess) -> bool:
    """Whether a worker that is not ready should be by now, or should have claimed its run."""
    return time.monotonic() - worker.since > (READY_S if worker.run_id is None else CLAIM_S)
