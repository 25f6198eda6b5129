"""One process for one run: warm up, say "ready", read a run's id from stdin, claim it, do it, end.

The process is started before there is work, so that torch is imported by then; it ends with its run, so that all
memory returns. Its teacher, and the run it starts from, are trained first where no finished one exists. While it works
it beats once a second; a worker that stops beating has lost its run, and one that waits for such a run sees to that.
SIGTERM ends it between two steps and leaves the run to be resumed.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import select
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from kdcore.errors import BadInput
from kdcore.events import Checkpoint, Event, Finished, Started
from kdcore.jobs.desk import WorkerDesk
from kdcore.jobs.leases import Leases
from kdcore.jobs.rows import HOST, LOG_FILE, Run
from kdcore.jobs.states import IllegalMove, State
from kdcore.jobs.store import Store
from kdcore.spec.schedule import Schedule
from kdcore.spec.spec import Choice, Spec, Watch
from kdcore.terminal import say, warn

LOG = logging.getLogger(__name__)
Engine = Callable[..., Iterator[Event]]  # as `kdcore.engine.train.train`
BEAT_S = 1.0
IDLE_S = 2.0  # without work, before what only some runs need is imported too
NOTE_S = 0.5  # between two notes on long preparations
INSIST_S = 10.0  # for which the end of a run is told again to a store that refuses it
RESERVE_BYTES = 1 << 18  # of disk space, given back before the end of a run is told


class Worker:
    """Does runs in this process, one after the other.

    Args:
        store: the store of runs.
        engine: what trains; `engine()` when None.
        hear: told of each event once it happened.
    """

    def __init__(
        self, store: Store, engine: Engine | None = None, hear: Callable[[Run, Event], None] | None = None
    ) -> None:
        self.store, self.hear = store, hear
        self.engine = engine or load_engine()
        self.stopping = threading.Event()  # set it to end between two steps; the run can be resumed then
        self._desks: dict[str, WorkerDesk] = {}  # of the runs this process works on, by id
        self._over = threading.Event()

    @property
    def busy(self) -> bool:
        """Whether it works on a run now."""
        return bool(self._desks)

    def work(self, run: Run) -> Run:
        """Do a run that this process claimed, its teacher first; the run as it is afterwards.

        Raises:
            BadInput: the store can no longer be used, so that it does not know how the run ended.
        """
        self._over.clear()
        heart = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        heart.start()
        try:
            return self._do(run, None)
        finally:
            self._over.set()
            heart.join()

    def _beat(self) -> None:
        leases = Leases(self.store)
        while not self._over.wait(BEAT_S):
            for run_id, desk in list(self._desks.items()):
                try:
                    if self.store.beat(run_id, attempt=desk.run.attempt):
                        desk.flush()
                    elif run_id in self._desks and not desk.cancelled and self.store.get(run_id).state != "done":
                        self.stopping.set()  # it was taken away; one that is done is only about to leave its desk
                except (BadInput, IllegalMove) as error:  # the store may come back before the lease ends
                    LOG.warning("%s", error)
            try:
                leases.look()  # this run may wait for one whose worker is gone, and no server may be there to see it
            except BadInput as error:
                LOG.warning("%s", error)

    def _do(self, run: Run, pupil: WorkerDesk | None) -> Run:
        """One attempt, to whatever end; the only place where any error ends."""
        desk = WorkerDesk(self.store, run, self.stopping, pupil)
        self._desks[run.id] = desk
        try:
            with reserve(run.folder):
                state = self._told(run, desk)
            if state != "done":
                self._move(
                    run, state, "Stopped." if state == "cancelled" else "Its worker was stopped; resume goes on."
                )
        except IllegalMove as error:  # the run was taken away or is over; nothing of it is ours to change
            LOG.warning("%s", error)
        except KeyboardInterrupt:
            self._move(run, "cancelled", "Stopped.")
            raise
        except Exception as error:
            LOG.error("Run %s: %s", run.id, explain(error), exc_info=not isinstance(error, BadInput))
            self._move(run, "failed", explain(error), None if isinstance(error, BadInput) else traceback.format_exc())
        finally:
            self._desks.pop(run.id, None)
            free_gpu()
        return self.store.get(run.id)

    def _move(self, run: Run, state: State, message: str, trace: str | None = None) -> None:
        """Tell the store how the run ended; where it refuses, try again for a while."""
        deadline = time.monotonic() + INSIST_S
        while True:
            try:
                if self.store.get(run.id).state == "running":
                    self.store.move(run.id, state, attempt=run.attempt, message=message, traceback=trace)
                return
            except IllegalMove as error:  # it was taken away meanwhile
                LOG.warning("%s", error)
                return
            except BadInput:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(BEAT_S / 2)

    def _told(self, run: Run, desk: WorkerDesk) -> State:
        """Train and tell; "done" once `Finished` is stored."""
        teacher = self._trained(run, desk, run.spec.teacher) if run.spec.teacher else None
        mentors = [self._trained(run, desk, mentor) for mentor in run.spec.mentors]
        start = self._trained(run, desk, run.spec.start, "start") if run.spec.start else None
        if self.stopping.is_set() or desk.cancelled:
            return "cancelled" if self._unwanted(desk) else "lost"
        desk.begin()
        forget_untold(self.store, run)
        run.folder.mkdir(parents=True, exist_ok=True)
        given: dict[str, Any] = {"teacher_weights": teacher.weights, "teacher_run": teacher.id} if teacher else {}
        if mentors:
            given["mentor_weights"] = [mentor.weights for mentor in mentors if mentor]
            given["mentor_runs"] = [mentor.id for mentor in mentors if mentor]
        if start:
            given |= {"start_weights": start.weights, "start_run": start.id}
        told = self.engine(run.spec, run.folder, desk=desk, report=self._reporter(run), **given)
        try:
            for event in told:
                if isinstance(event, Started):
                    self.store.note(run.id, message=None)
                desk.tell(event)
                if self.hear:
                    self.hear(run, event)
                if isinstance(event, Finished):
                    return "done"
                if self.stopping.is_set():
                    break
        finally:
            getattr(told, "close", lambda: None)()
            desk.flush()
        return "cancelled" if self._unwanted(desk) else "lost"

    def _unwanted(self, desk: WorkerDesk) -> bool:
        """Whether somebody asked the run to stop, rather than the process to end."""
        return desk.cancelled or self.store.get(desk.run.id).cancel_at is not None

    def _trained(self, run: Run, desk: WorkerDesk, spec: Spec, role: str = "teacher") -> Run | None:
        """Return the finished run of a teacher or the start: found, awaited or trained here; None when it was stopped.

        Raises:
            BadInput: the teacher or the start failed.
        """
        while not self.stopping.is_set() and not desk.cancelled:
            teacher = self.store.adopt(spec, run.owner, role.capitalize())
            if run.teacher_run != teacher.id and spec == run.spec.teacher:
                self.store.note(run.id, teacher_run=teacher.id)
            if teacher.state == "running" and teacher.pid == os.getpid() and teacher.host == HOST:
                teacher = self._do(teacher, desk)
            if teacher.state == "done" and teacher.hash == spec.hash:
                return teacher
            if teacher.state == "done":  # somebody changed it during training, so it is no longer what was asked for
                self.store.note(run.id, message=f"Its {role} was changed during training, so it is trained again.")
            if teacher.state == "failed":
                raise BadInput(f"Its {role}, run {teacher.id}, failed: {teacher.message}")
            if teacher.state == "cancelled":
                desk.cancelled = True
            if teacher.state == "running":
                desk.wait()
        return None

    def _reporter(self, run: Run) -> Callable[[str, float], None]:
        """Note long preparations on the run's row, not too often."""
        last = time.monotonic()

        def report(what: str, share: float) -> None:
            nonlocal last
            if time.monotonic() - last >= NOTE_S:
                last = time.monotonic()
                self.store.note(run.id, message=f"{what} ({share:.0%})")

        return report


@contextmanager
def reserve(folder: Path) -> Iterator[None]:
    """Hold some disk space meanwhile, so that on a full disk there is room to tell how the run ended.

    Raises:
        OSError: there is not even that much.
    """
    path = folder / ".reserve"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(RESERVE_BYTES))  # what can be compressed may take no space
        yield
    finally:
        path.unlink(missing_ok=True)


def forget_untold(store: Store, run: Run) -> None:
    """Remove checkpoints whose event was never stored, so that a resumed run goes on from where its story stands."""
    told = {event.file for event in store.story(run.id) if isinstance(event, Checkpoint)}
    for path in (run.folder / "checkpoints").glob("*"):
        if path.relative_to(run.folder).as_posix() not in told:
            path.unlink()


def explain(error: Exception) -> str:
    """One sentence on why a run failed."""
    if isinstance(error, BadInput):
        return str(error)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "The run needs more memory than is free; take a smaller batch or network, or stop another run."
    if "No space left" in str(error):  # as the system says it, and as safetensors passes it on
        return "The disk is full; free some space, then resume the run from its last checkpoint."
    return f"{type(error).__name__}: {error}".splitlines()[0]


def load_engine() -> Engine:
    """`kdcore.engine.train.train`, or what KDLAB_TRAIN names as module:function."""
    module, _, function = os.environ.get("KDLAB_TRAIN", "kdcore.engine.train:train").partition(":")
    engine: Engine = getattr(import_module(module), function)
    return engine


def rehearse(engine: Engine) -> None:
    """Run two steps of a toy, so that what torch loads and compiles late is there when a person waits."""
    mlp = Choice(name="mlp")
    watch = Watch(points=1, evaluations=1, frames=1, checkpoints=1)
    toy: dict[str, Any] = {"data": Choice(name="moons"), "schedule": Schedule(steps=2), "watch": watch, "device": "cpu"}
    teacher = Spec(student=mlp, method=Choice(name="ce"), **toy)
    with tempfile.TemporaryDirectory() as folder:
        for _ in engine(teacher, Path(folder, "teacher")):
            pass
        weights = Path(folder, "teacher", "student.safetensors")
        for _ in engine(Spec(student=mlp, teacher=teacher, **toy), Path(folder, "student"), teacher_weights=weights):
            pass


def limit_gpu() -> None:
    """Keep to the share of the GPU's memory that KDLAB_GPU_SHARE grants, as other runs use it too."""
    share = os.environ.get("KDLAB_GPU_SHARE")
    if share and "torch" in sys.modules:
        torch = sys.modules["torch"]
        if torch.cuda.is_available():
            torch.cuda.set_per_process_memory_fraction(float(share))


def free_gpu() -> None:
    """Return what a run that ended, however it did, held of the GPU's memory: its student follows in this process."""
    if "torch" in sys.modules:
        import_module("kdcore.device").give_back()


def _log_to(path: Path) -> None:
    """Send stdout and stderr, tracebacks of crashes included, to a file of the run's own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as log:
        for stream in (1, 2):
            os.dup2(log.fileno(), stream)
    faulthandler.enable()


def main() -> int:
    """Warm up, wait on stdin for the id of a run that still waits, do it."""
    try:
        store = Store()
    except BadInput as error:
        warn(error)
        return 1
    worker = Worker(store)
    if "KDLAB_TRAIN" not in os.environ:
        rehearse(worker.engine)
    signal.signal(signal.SIGTERM, lambda *_: worker.stopping.set() if worker.busy else sys.exit(0))
    say("ready", flush=True)
    if "KDLAB_TRAIN" not in os.environ and not select.select([sys.stdin], [], [], IDLE_S)[0]:
        import_module("torchvision")  # the published data sets need it; nobody waits for it meanwhile
    try:
        _serve(worker)
    except BadInput as error:  # the store can no longer be used; the supervisor tells those who wait
        warn(error)
        return 1
    return 0


def _serve(worker: Worker) -> None:
    """Do the first run that is named on stdin and still waits, with a log of its own where the disk allows one."""
    while run_id := sys.stdin.readline().strip():
        run = worker.store.claim(os.getpid(), run_id)  # not by who names it, so that their end leaves nothing claimed
        if run:
            with suppress(OSError):
                _log_to(run.folder / LOG_FILE)
            limit_gpu()
            worker.work(run)
            return
        say("ready", flush=True)


if __name__ == "__main__":
    sys.exit(main())
