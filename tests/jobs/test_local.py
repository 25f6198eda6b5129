"""The supervisor with real worker processes: queue, cancel, crash, restart."""

import os
import signal
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from fixture_jobs import job
from patience import until

from kdcore.contracts.control import Audience, Command
from kdcore.errors import BadInput
from kdcore.events import Step
from kdcore.jobs import local
from kdcore.jobs.desk import attend
from kdcore.jobs.local import Supervisor
from kdcore.jobs.process import command_line, is_worker, kill
from kdcore.jobs.rows import Run
from kdcore.jobs.store import Store
from kdcore.runs.record import read_arrays

Supervise = Callable[..., Supervisor]
SLOW = {"pace": 0.02, "steps": 10_000}


def reaches(store: Store, run: Run, state: str) -> Run:
    until(lambda: store.get(run.id).state == state, f"for {run.id} to be {state}: {store.get(run.id)}")
    return store.get(run.id)


def steps_on(store: Store, run: Run, beyond: int = 0) -> Run:
    until(lambda: store.get(run.id).step > beyond, "for a step")
    return store.get(run.id)


def test_runs_are_done_one_after_the_other_in_turn(store: Store, supervise: Supervise) -> None:
    runs = [store.submit(job(seed=n), owner) for n, owner in enumerate(["me", "me", "you"])]
    assert store.waiting() == [runs[0].id, runs[2].id, runs[1].id]
    supervise()
    done = [reaches(store, run, "done") for run in runs]
    assert sorted(done, key=lambda run: run.started_at or 0) == [done[0], done[2], done[1]]
    assert len({run.pid for run in done}) == 3  # a process for each
    assert store.waiting() == []
    assert store.events(runs[0].id, after=1, limit=1)[0].event.step == 1


def test_slots_bound_how_many_run_at_once(store: Store, supervise: Supervise) -> None:
    runs = [store.submit(job(seed=n, **SLOW), "me") for n in range(3)]
    supervise(slots=2)
    until(lambda: len(store.runs(states={"running"})) == 2)
    for run in runs[:2]:
        steps_on(store, run)
    assert store.get(runs[2].id).state == "queued"
    store.command(runs[0].id, Command("cancel"), "me")
    steps_on(store, runs[2])
    assert reaches(store, runs[0], "cancelled").message == "Stopped."


def test_frames_reach_those_who_look(store: Store, supervise: Supervise) -> None:
    supervise()
    run = store.submit(job("watched", **SLOW), "me")
    assert latest(run, "field") == {}
    steps_on(store, run)
    attend(run.folder, Audience(frames_hz=2.0))
    until(lambda: int(latest(run, "frame").get("step", 0)) > 1)
    store.command(run.id, Command("pause"), "me")
    until(lambda: latest(run, "frame")["step"] == store.get(run.id).step == steps_told(store, run))


def latest(run: Run, channel: str) -> dict[str, np.ndarray]:
    """The newest arrays of a channel; {} when there are none."""
    return read_arrays(run.folder / "live" / f"{channel}.npz")


def steps_told(store: Store, run: Run) -> int:
    return max(event.step for event in store.story(run.id) if isinstance(event, Step))


@pytest.mark.parametrize("method", ["stubborn", "hangs"])
def test_cancel_is_insisted_on(method: str, store: Store, supervise: Supervise) -> None:
    supervise()
    run = store.submit(job(method, **SLOW), "me")
    pid = steps_on(store, run, beyond=1).pid
    store.command(run.id, Command("cancel"), "me")
    reaches(store, run, "cancelled")
    until(lambda: not command_line(pid))


def test_a_worker_killed_in_mid_step_loses_its_run_and_resume_goes_on(store: Store, supervise: Supervise) -> None:
    supervise()
    run = store.submit(job(pace=0.02, steps=60), "me")
    kill(steps_on(store, run, beyond=12).pid, signal.SIGKILL)
    lost = reaches(store, run, "lost")
    assert "signal 9" in lost.message
    store.resume(run.id, "me")
    assert reaches(store, run, "done").attempt == 2
    whole = store.submit(job(pace=0.0, steps=60), "you")
    assert steps_told(store, run) == 60
    reaches(store, whole, "done")
    assert [e for e in store.story(run.id) if isinstance(e, Step)] == [
        e for e in store.story(whole.id) if isinstance(e, Step)
    ]


def test_a_crash_leaves_its_last_words(store: Store, supervise: Supervise) -> None:
    supervise()
    lost = reaches(store, store.submit(job("dies"), "me"), "lost")
    assert "crashed (signal 11)" in lost.message
    assert "Segmentation fault" in lost.traceback


def test_a_frozen_worker_is_killed_when_its_lease_ends(store: Store, supervise: Supervise) -> None:
    supervise()
    run = store.submit(job(**SLOW), "me")
    pid = steps_on(store, run).pid
    kill(pid, signal.SIGSTOP)
    store.note(run.id, lease_until=1.0)
    assert "stopped answering" in reaches(store, run, "lost").message
    until(lambda: not command_line(pid))


def ready(supervisor: Supervisor) -> int:
    """The process id of a warm worker."""
    until(lambda: any(worker.free for worker in supervisor._workers), "for a warm worker")
    return next(worker.pid for worker in supervisor._workers if worker.free)


def test_a_worker_that_does_not_begin_the_run_it_was_given_is_replaced(
    store: Store, supervise: Supervise, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was stopped while it waited, warm; its run is done by another."""
    monkeypatch.setattr(local, "CLAIM_S", 0.5)
    stopped = ready(supervise())
    kill(stopped, signal.SIGSTOP)
    done = reaches(store, store.submit(job(), "me"), "done")
    assert done.pid != stopped
    assert done.attempt == 1
    until(lambda: not command_line(stopped))


def test_a_worker_that_never_becomes_ready_is_replaced(store: Store, supervise: Supervise) -> None:
    supervisor = supervise()
    stopped = ready(supervisor)
    (worker,) = supervisor._workers
    kill(stopped, signal.SIGSTOP)
    worker.since, worker.ready = worker.since - local.READY_S, False  # as if it had never said so
    assert reaches(store, store.submit(job(), "me"), "done").pid != worker.pid


def test_a_worker_that_ends_before_it_begins_its_run_leaves_it_waiting(store: Store, supervise: Supervise) -> None:
    """The next one does it, after a while, so that one death after another does not keep the machine busy."""
    supervisor = supervise()
    stopped = ready(supervisor)
    kill(stopped, signal.SIGSTOP)
    run = store.submit(job(), "me")
    until(lambda: any(worker.run_id == run.id for worker in supervisor._workers))
    kill(stopped, signal.SIGKILL)
    until(lambda: store.get(run.id).message)
    assert "No worker could start (Its worker was killed" in store.get(run.id).message
    assert reaches(store, run, "done").attempt == 1


def test_the_supervisor_survives_what_nobody_foresaw(
    store: Store, supervise: Supervise, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    troubles = iter([RuntimeError("odd"), BadInput("the disk is full")])
    looked = store.runs

    def runs(**asked: Any) -> list[Run]:
        for trouble in troubles:
            raise trouble
        return looked(**asked)

    monkeypatch.setattr(store, "runs", runs)
    supervise()
    reaches(store, store.submit(job(), "me"), "done")
    assert "RuntimeError: odd" in caplog.text
    assert "the disk is full" in caplog.text


def test_a_restarted_server_takes_over_what_runs(store: Store, supervise: Supervise) -> None:
    first = supervise()
    runs = [store.submit(job(seed=n, **SLOW), "me") for n in range(2)]
    pid = steps_on(store, runs[0]).pid
    first.stop()
    assert is_worker(pid)
    step = store.get(runs[0].id).step
    supervise()
    steps_on(store, runs[0], beyond=step + 5)
    assert store.get(runs[0].id).attempt == 1
    assert store.get(runs[1].id).state == "queued"  # the slot is taken, whoever started the worker
    store.command(runs[0].id, Command("cancel"), "me")
    reaches(store, runs[0], "cancelled")
    steps_on(store, runs[1])


def test_a_restarted_server_sees_that_a_worker_ended_meanwhile(store: Store, supervise: Supervise) -> None:
    first = supervise()
    run = store.submit(job(**SLOW), "me")
    pid = steps_on(store, run).pid
    first.stop()
    kill(pid, signal.SIGKILL)
    until(lambda: not command_line(pid))
    assert store.get(run.id).state == "running"
    supervise()
    assert "is gone" in reaches(store, run, "lost").message


def test_one_supervisor_at_a_time(supervise: Supervise) -> None:
    first, second = supervise(), supervise()
    until(lambda: first._lock or second._lock)
    assert (first._lock is None) != (second._lock is None)
    leader, heir = (first, second) if first._lock else (second, first)
    assert heir._workers == []
    leader.stop()
    until(lambda: heir._lock)


def test_an_idle_worker_ends_with_its_server(supervise: Supervise) -> None:
    supervisor = supervise()
    until(lambda: any(worker.ready for worker in supervisor._workers))
    (worker,) = supervisor._workers
    supervisor.stop()
    until(lambda: not command_line(worker.pid))


def test_those_who_wait_hear_why_no_worker_starts(
    store: Store, supervise: Supervise, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = store.submit(job(), "me")
    monkeypatch.setenv("KDLAB_TRAIN", "fixture_jobs:absent")
    supervise()
    until(lambda: store.get(run.id).message)
    assert "No worker could start (AttributeError" in store.get(run.id).message
    assert store.get(run.id).state == "queued"


def test_the_process_of_another_is_left_alone(store: Store, supervise: Supervise) -> None:
    run = store.submit(job(), "me")
    store.claim(os.getpid(), run.id)  # this test's own process, as a headless run would
    store.command(run.id, Command("cancel"), "me")
    store.note(run.id, cancel_at=1.0, lease_until=1.0)
    supervise()
    assert reaches(store, run, "cancelled").pid == os.getpid()


def test_a_teacher_and_its_student_go_through_one_worker(store: Store, supervise: Supervise) -> None:
    supervise()
    run = store.submit(job("kd", teacher=job(pace=0.02, steps=30)), "me")
    until(lambda: store.get(run.id).teacher_run)
    done = reaches(store, run, "done")
    teacher = store.get(done.teacher_run)
    assert (teacher.state, teacher.pid) == ("done", done.pid)


def test_a_worker_killed_with_its_teacher_loses_both_and_both_go_on(store: Store, supervise: Supervise) -> None:
    supervise()
    run = store.submit(job("kd", teacher=job(pace=0.02, steps=60)), "me")
    until(lambda: store.get(run.id).teacher_run)
    teacher = steps_on(store, store.get(store.get(run.id).teacher_run), beyond=6)
    kill(teacher.pid, signal.SIGKILL)
    reaches(store, run, "lost")
    reaches(store, teacher, "lost")
    store.resume(run.id, "me")
    reaches(store, run, "done")
    assert store.get(teacher.id).attempt == 2
