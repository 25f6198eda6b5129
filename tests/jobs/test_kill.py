"""kill -9 of worker and server at random moments: no wrong state, nothing shown is lost, the story is whole."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time

import pytest
from fixture_jobs import job, train
from patience import until

from kdcore.events import Event, Started
from kdcore.jobs.process import is_worker, kill
from kdcore.jobs.rows import Run
from kdcore.jobs.store import Store

SERVER = """
import signal, fixture_jobs
from kdcore.jobs.local import Supervisor
from kdcore.jobs.store import Store
Supervisor(Store()).start()
signal.pause()
"""
STEPS = 60


class Server:
    """A process that supervises, as the web server does."""

    def __init__(self) -> None:
        self.process = subprocess.Popen([sys.executable, "-c", SERVER])

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def intact(store: Store) -> None:
    """The database holds what it should, as another program reads it."""
    with sqlite3.connect(store.home / "runs.db") as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        counts = database.execute("SELECT id, heard, (SELECT count(*) FROM event WHERE run = run.id) FROM run")
        assert all(heard == stored for _, heard, stored in counts)
    database.close()


def settle(store: Store, run: Run) -> Run:
    """The run once it is over, or waits to be resumed."""
    until(lambda: store.get(run.id).state not in ("queued", "running"), f"for {store.get(run.id)}")
    return store.get(run.id)


def expected(run: Run, store: Store, scratch: str) -> list[Event]:
    """What an uninterrupted run tells, from the engine itself."""
    teacher = store.get(run.teacher_run) if run.teacher_run else None
    given = {"teacher_weights": teacher.weights, "teacher_run": teacher.id} if teacher else {}
    return list(train(run.spec, store.home / scratch, **given))


def round_of_kills(store: Store, luck: random.Random, number: int) -> None:
    """Start a run under a server, kill worker or server (or both) at random moments, and go on until it is done."""
    teacher = job(pace=0.004, steps=STEPS, seed=number)
    run = store.submit(job("kd", pace=0.004, steps=STEPS, seed=number, teacher=teacher), "me")
    server = Server()
    try:
        for victim in luck.sample(["worker", "server", "both"], 2):
            until(lambda: store.get(run.id).state != "queued")
            time.sleep(luck.uniform(0.0, 0.4))
            seen = {run_.id: store.events(run_.id, limit=None) for run_ in store.runs()}
            pid = store.get(run.id).pid
            if victim != "server" and pid and is_worker(pid):
                kill(pid, signal.SIGKILL)
            if victim != "worker":
                server.kill()
                server = Server()
            intact(store)
            for run_id, heard in seen.items():
                assert store.events(run_id, limit=None)[: len(heard)] == heard
            if victim != "server" and settle(store, run).state == "lost":
                store.resume(run.id, "me")
        done = settle(store, run)
    finally:
        server.kill()
    assert done.state == "done", done
    intact(store)
    for one in (store.get(done.teacher_run or ""), done):
        story = store.story(one.id)
        assert story == expected(one, store, f"whole-{one.id}")
        assert isinstance(story[0], Started)
        assert one.weights.read_bytes() == (store.home / f"whole-{one.id}" / "student.safetensors").read_bytes()
    assert all(found.state in ("done", "cancelled") for found in store.runs())


def test_killed_at_random_moments(store: Store) -> None:
    for number in range(4):
        round_of_kills(store, random.Random(number), number)


@pytest.mark.soak
def test_killed_at_random_moments_fifty_times(store: Store) -> None:
    seed = int(os.environ.get("KDLAB_SEED", time.time_ns() % 10**6))
    print("KDLAB_SEED", seed)
    for number in range(50):
        round_of_kills(store, random.Random(seed + number), number)
