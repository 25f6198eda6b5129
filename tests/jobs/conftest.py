"""A store in an empty home, jobs with character, and a supervisor that leaves no process behind."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import fixture_jobs
import pytest

from kdcore.jobs.local import Supervisor
from kdcore.jobs.process import is_worker, kill
from kdcore.jobs.rows import Run
from kdcore.jobs.store import Store
from kdcore.jobs.worker import Worker
from kdcore.spec import catalogue, checks, spec


@pytest.fixture(autouse=True)
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The small catalogue, here and in the processes that tests start."""
    for module in (catalogue, checks, spec):
        monkeypatch.setattr(module, "catalogue", lambda: fixture_jobs.CATALOGUE)
    catalogue.knobs_model.cache_clear()
    monkeypatch.setenv("KDLAB_TRAIN", "fixture_jobs:train")
    here = [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(here))
    yield
    catalogue.knobs_model.cache_clear()


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setenv("KDLAB_HOME", str(tmp_path))
    opened = Store(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def supervise(store: Store) -> Iterator[Callable[..., Supervisor]]:
    """Starts supervisors of the store; they and their workers are gone afterwards."""
    started = []

    def start(slots: int = 1) -> Supervisor:
        supervisor = Supervisor(store, slots)
        supervisor.start()
        started.append(supervisor)
        return supervisor

    yield start
    for supervisor in started:
        supervisor.stop()
    for run in store.runs(states={"running"}):
        if run.pid and run.pid != os.getpid() and is_worker(run.pid):
            kill(run.pid, signal.SIGKILL)


@pytest.fixture
def done(store: Store) -> Run:
    """A run that is over."""
    run = store.submit(fixture_jobs.job(), "me", label="shown")
    store.claim(1, run.id)
    return Worker(store).work(store.get(run.id))
