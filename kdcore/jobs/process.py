"""Worker processes as the supervisor sees them, and the few things it asks of the operating system."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from kdcore.jobs.store import Store
from kdcore.stdio_rpc import spawn

MODULE = "kdcore.jobs.worker"
TAIL_BYTES = 4000


class WorkerProcess:
    """A worker process that warms up, waits for one run and does it.

    Args:
        store: the store it works for.
        news: called, from another thread, when it is ready and when it has ended.
    """

    def __init__(self, store: Store, news: Callable[[], None]) -> None:
        self.run_id: str | None = None
        self.since = time.monotonic()  # it started, or began its run
        self.ready = False
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  a pipe would break with the server, and the worker with it
        places = {"KDLAB_HOME": str(store.home), "KDLAB_DATABASE": store.url}
        self._process = spawn(MODULE, stderr=self._errors, environment=places, new_session=True)
        self._news = news
        threading.Thread(target=self._watch, name=f"worker {self.pid}", daemon=True).start()

    @property
    def pid(self) -> int:
        """Its process id, which is its process group too."""
        return self._process.pid

    @property
    def free(self) -> bool:
        """Whether it is warm and waits for a run."""
        return self.ready and self.run_id is None and self.exit_code is None

    @property
    def exit_code(self) -> int | None:
        """None while it lives; minus the signal's number where one killed it."""
        return self._process.poll()

    def give(self, run_id: str) -> None:
        """Let it claim and do a waiting run; where it just died, or the run no longer waits, nothing happens."""
        self.run_id, self.since, self.ready = run_id, time.monotonic(), False
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.write(f"{run_id}\n".encode())
            self._process.stdin.flush()

    def end(self) -> None:
        """End it and wait until it is gone."""
        kill(self.pid, signal.SIGKILL)
        self._process.wait()
        self.close()

    def close(self) -> None:
        """Let go of its files once it has ended."""
        for stream in (self._process.stdin, self._errors):
            with suppress(OSError):
                assert stream is not None
                stream.close()

    def errors(self) -> str:
        """Return the end of what it wrote to stderr before it began a run."""
        with suppress(OSError, ValueError):
            size = self._errors.seek(0, os.SEEK_END)
            self._errors.seek(max(0, size - TAIL_BYTES))
            return self._errors.read().decode(errors="replace").strip()
        return ""

    def _watch(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as said:
            while said.readline().strip() == b"ready":
                self.run_id, self.ready = None, True
                self._news()
            self._process.wait()
        self._news()


def command_line(pid: int) -> str:
    """Return what a process was started with; "" when it has ended."""
    if Path("/proc/self").exists():
        with suppress(OSError):
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        return ""
    done = subprocess.run(["ps", "-p", str(pid), "-o", "command="], capture_output=True, text=True)
    return "" if "<defunct>" in done.stdout else done.stdout.strip()


def is_worker(pid: int) -> bool:
    """Whether a process is one of our workers, so that a number used again by another is left alone."""
    return MODULE in command_line(pid)


def kill(pid: int, number: signal.Signals) -> None:
    """Send a signal to a worker's process group, if it still exists."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
