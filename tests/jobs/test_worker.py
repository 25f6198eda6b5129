"""A worker does a run to whatever end, its teacher first, and says why it failed."""

import json
import os
import re
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fixture_jobs import job, point, started
from patience import until

from kdcore.contracts.control import Command
from kdcore.errors import BadInput
from kdcore.events import Checkpoint, Event, Finished, Started, Step
from kdcore.jobs.rows import Run
from kdcore.jobs.states import State
from kdcore.jobs.store import Store
from kdcore.jobs.worker import RESERVE_BYTES, Worker, forget_untold
from kdcore.spec.spec import Spec


def do(store: Store, spec: Spec, owner: str = "me", hear: object = None) -> Run:
    run = store.submit(spec, owner)
    claimed = store.claim(os.getpid(), run.id)
    assert claimed
    return Worker(store, hear=hear).work(claimed)


def test_a_run_is_done_and_told(store: Store) -> None:
    heard: list[Event] = []
    run = do(store, job(), hear=lambda _, event: heard.append(event))
    assert run.state == "done"
    assert store.story(run.id) == heard
    assert isinstance(heard[0], Started)
    assert heard[-1] == Finished(step=20, result=run.result)
    assert run.weights.exists()


@pytest.mark.parametrize(
    ("method", "says", "traced"),
    [
        ("crashes", r"^RuntimeError: the third step is odd$", True),
        ("fails", r"^The third step may not be taken; take two\.$", False),
        ("memory", r"needs more memory than is free", True),
        ("full", r"disk is full", True),
    ],
)
def test_a_failure_is_one_sentence(method: str, says: str, traced: bool, store: Store) -> None:
    run = do(store, job(method))
    assert run.state == "failed"
    assert re.search(says, run.message)
    assert "\n" not in run.message
    assert (run.traceback is not None and "_act" in run.traceback) is traced
    assert [event.step for event in store.story(run.id) if isinstance(event, Step)] == [1, 2]


@pytest.mark.parametrize(("method", "state"), [("ce", "done"), ("crashes", "failed"), ("fails", "failed")])
def test_memory_is_given_back_once_nothing_holds_the_run(
    method: str, state: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The traceback of an error holds the frames of a run, and they its networks."""
    held: list[object] = []
    monkeypatch.setattr("kdcore.device.give_back", lambda: held.append(sys.exception()))
    assert do(store, job(method)).state == state
    assert held == [None]


def refuses(store: Store, monkeypatch: pytest.MonkeyPatch, times: int) -> list[str]:
    """Let the store refuse as a full disk does: from the first event of a run on, for so many writes."""
    said: list[str] = []

    def append(*_: object, **__: object) -> None:
        monkeypatch.setattr(store, "move", move)
        raise BadInput("The run store cannot be used (database or disk is full); free some disk space and try again.")

    moved = store.move

    def move(run_id: str, state: State, **facts: Any) -> None:
        said.append(state)
        if len(said) <= times:
            raise BadInput("The run store cannot be used (database or disk is full).")
        moved(run_id, state, **facts)

    monkeypatch.setattr(store, "append", append)
    monkeypatch.setattr("kdcore.jobs.worker.BEAT_S", 0.02)
    return said


def test_the_end_of_a_run_is_told_again_until_the_store_takes_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    said = refuses(store, monkeypatch, times=3)
    done = do(store, job())
    assert said == ["failed"] * 4
    assert done.state == "failed"
    assert "free some disk space" in done.message


def test_on_a_full_disk_there_is_room_left_to_tell_the_end(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Room that is held from the first to the last step is given back before the end of the run is told."""
    held: list[int] = []

    def hear(run: Run, _: Event) -> None:
        held.append((run.folder / ".reserve").stat().st_size)

    def move(run_id: str, *_: object, **__: object) -> None:
        held.append((store.get(run_id).folder / ".reserve").exists())

    moved = store.move
    monkeypatch.setattr(store, "move", lambda *told, **facts: (move(*told), moved(*told, **facts)))
    run = do(store, job("full"), hear=hear)
    assert "disk is full" in run.message
    assert set(held[:-1]) == {RESERVE_BYTES}
    assert held[-1] is False


def test_a_store_that_refuses_for_good_ends_the_worker_with_a_sentence(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kdcore.jobs.worker.INSIST_S", 0.1)
    refuses(store, monkeypatch, times=10**6)
    with pytest.raises(BadInput, match="database or disk is full"):
        do(store, job())
    assert store.get(store.runs()[0].id).state == "running"  # until whoever looks next ends its lease


def test_the_teacher_is_trained_first_and_once(store: Store) -> None:
    first = do(store, job("kd", teacher=job()))
    teacher = store.get(first.teacher_run)
    assert (first.state, teacher.state, teacher.owner, teacher.label) == ("done", "done", "me", "Teacher")
    assert store.story(first.id)[0].teacher_run == teacher.id
    second = do(store, job("kd", teacher=job(), seed=1), owner="you")
    assert second.teacher_run == teacher.id
    assert len(store.runs()) == 3


def test_teachers_have_teachers(store: Store) -> None:
    run = do(store, job("kd", teacher=job("kd", teacher=job(), seed=1)))
    assert run.state == "done"
    middle = store.get(run.teacher_run)
    assert store.get(middle.teacher_run).spec == job()


def test_mentors_are_trained_before_and_once_and_come_in_their_order(store: Store) -> None:
    mentors = (job(seed=2), job(seed=1))
    run = do(store, job("several", teacher=job(), mentors=mentors))
    assert run.state == "done"
    told = store.story(run.id)[0]
    assert store.get(run.teacher_run).spec == job()
    assert [store.get(mentor).spec for mentor in told.mentor_runs] == list(mentors)
    assert store.get(run.id).spec.mentors == mentors
    do(store, job("several", teacher=job(), mentors=mentors[::-1], seed=1))
    assert len(store.runs()) == 5


def test_the_run_that_a_student_starts_from_is_run_first_and_once(store: Store) -> None:
    run = do(store, job("kd", teacher=job(), start=job(seed=1), steps=2))
    begun = store.get(store.story(run.id)[0].start_run)
    assert (run.state, begun.state, begun.label, begun.spec) == ("done", "done", "Start", job(seed=1))
    assert store.get(run.teacher_run).spec == job()
    do(store, job(start=job(seed=1), steps=3))
    assert len(store.runs()) == 4


def test_a_start_that_fails_fails_what_goes_on_from_it(store: Store) -> None:
    run = do(store, job(start=job("crashes")))
    begun = next(one for one in store.runs() if one.label == "Start")
    assert run.message == f"Its start, run {begun.id}, failed: RuntimeError: the third step is odd"
    assert run.teacher_run is None


def test_cancel_while_the_start_learns_stops_both(store: Store) -> None:
    def hear(_: Run, event: Event) -> None:
        if event.step == 3 and isinstance(event, Step):
            store.command(next(one.id for one in store.runs() if one.spec.start), Command("cancel"), "me")

    run = do(store, job(start=job(pace=0.02, steps=1000, seed=1)), hear=hear)
    assert (run.state, {one.state for one in store.runs()}) == ("cancelled", {"cancelled"})


def test_a_mentor_that_fails_fails_its_student(store: Store) -> None:
    run = do(store, job("several", teacher=job(), mentors=(job(seed=1), job("crashes"))))
    assert run.state == "failed"
    assert run.message.endswith("failed: RuntimeError: the third step is odd")
    assert store.get(run.teacher_run).state == "done"


def test_cancel_while_a_mentor_learns_stops_both(store: Store) -> None:
    def hear(_: Run, event: Event) -> None:
        if event.step == 3 and isinstance(event, Step):
            student = next(one for one in store.runs() if one.spec.mentors)
            if student.state == "running" and store.get(student.teacher_run).state == "done":
                store.command(student.id, Command("cancel"), "me")

    mentor = job(pace=0.02, steps=1000, seed=1)
    run = do(store, job("several", teacher=job(steps=2), mentors=(mentor,)), hear=hear)
    assert run.state == "cancelled"
    assert next(one.state for one in store.runs() if one.spec == mentor) == "cancelled"


def test_a_teacher_that_fails_fails_its_student(store: Store) -> None:
    run = do(store, job("kd", teacher=job("crashes")))
    assert run.state == "failed"
    assert run.message == f"Its teacher, run {run.teacher_run}, failed: RuntimeError: the third step is odd"
    assert store.get(run.teacher_run).state == "failed"


@pytest.mark.parametrize("whom", ["student", "teacher"])
def test_cancel_while_the_teacher_learns_stops_both(whom: str, store: Store) -> None:
    def hear(_: Run, event: Event) -> None:
        if event.step == 3 and isinstance(event, Step):
            student = next(one for one in store.runs() if one.spec.teacher)
            asked = student.id if whom == "student" else student.teacher_run
            store.command(asked, Command("cancel"), "me")

    run = do(store, job("kd", teacher=job(pace=0.02, steps=1000)), hear=hear)
    assert (run.state, store.get(run.teacher_run).state) == ("cancelled", "cancelled")


def test_a_teacher_others_wait_for_is_finished_though_its_student_is_stopped(store: Store) -> None:
    def hear(_: Run, event: Event) -> None:
        if event.step == 3 and isinstance(event, Step):
            student = next(one for one in store.runs() if one.spec.teacher and one.owner == "me")
            store.command(student.id, Command("cancel"), "me")

    store.submit(job("kd", teacher=job(pace=0.02, steps=100), seed=9), "you")
    run = do(store, job("kd", teacher=job(pace=0.02, steps=100)), hear=hear)
    assert run.state == "cancelled"
    assert store.get(run.teacher_run).state == "done"


def test_a_teacher_trained_elsewhere_is_awaited(store: Store) -> None:
    teacher = store.submit(job(), "you")
    store.claim(1, teacher.id)  # by a process that is not this one
    done: list[Run] = []
    thread = threading.Thread(target=lambda: done.append(do(store, job("kd", teacher=job()))))
    thread.start()
    until(lambda: any(run.teacher_run == teacher.id for run in store.runs()))
    teacher.folder.mkdir(parents=True)
    teacher.weights.write_text("weights")
    store.append(teacher.id, [Finished(step=20, result={})])
    thread.join()
    assert done[0].state == "done"
    assert len(store.runs()) == 2


@pytest.mark.parametrize("owner", ["me", "you"])
def test_a_teacher_whose_worker_is_gone_is_awaited_by_nobody_where_no_server_runs(
    owner: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waits for a teacher ends the lease of its worker, and trains it on; somebody else's anew."""
    monkeypatch.setattr("kdcore.jobs.worker.BEAT_S", 0.05)
    monkeypatch.setattr("kdcore.jobs.leases.LOOK_S", 0.05)
    teacher = store.submit(job(), owner)
    store.claim(1, teacher.id)  # by a process that was killed
    store.note(teacher.id, lease_until=time.time() + 0.5)
    run = do(store, job("kd", teacher=job()))
    found = store.get(teacher.id)
    assert run.state == "done"
    if owner == "me":
        assert (run.teacher_run, found.state, found.attempt, found.pid) == (teacher.id, "done", 2, os.getpid())
    else:
        assert (run.teacher_run != teacher.id, found.state) == (True, "lost")


@pytest.mark.parametrize("pauses", [True, False])
def test_cancel_while_a_teacher_is_awaited(pauses: bool, store: Store) -> None:
    teacher = store.submit(job(), "you")
    store.claim(1, teacher.id)
    done: list[Run] = []
    thread = threading.Thread(target=lambda: done.append(do(store, job("kd", teacher=job()))))
    thread.start()
    until(lambda: any(run.teacher_run == teacher.id for run in store.runs()))
    run = next(run for run in store.runs() if run.spec.teacher)
    if pauses:
        store.command(run.id, Command("pause"), "me")
    store.command(run.id, Command("cancel"), "me")
    thread.join()
    assert done[0].state == "cancelled"
    assert store.get(teacher.id).state == "running"


def test_a_worker_asked_to_end_leaves_a_run_that_can_go_on(store: Store) -> None:
    run = store.submit(job(steps=40, pace=0.002), "me")
    worker = Worker(store, hear=lambda _, event: worker.stopping.set() if event.step == 17 else None)
    ended = worker.work(store.claim(1, run.id))
    assert ended.state == "lost"
    store.resume(run.id, "me")
    again = Worker(store).work(store.claim(1, run.id))
    assert (again.state, again.attempt) == ("done", 2)
    whole = do(store, job(steps=40, pace=0.002), owner="you")
    assert store.story(run.id) == store.story(whole.id)
    assert again.weights.read_bytes() == whole.weights.read_bytes()


def test_a_run_taken_away_is_left_alone(store: Store) -> None:
    run = store.submit(job(steps=1000), "me")

    def hear(_: Run, event: Event) -> None:
        if event.step == 10:
            store.expire(now=1e12)

    ended = Worker(store, hear=hear).work(store.claim(1, run.id))
    assert ended.state == "lost"
    assert max(event.step for event in store.story(run.id)) < 1000


def test_a_teacher_that_is_done_and_still_at_its_desk_stops_nobody(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A heartbeat in that moment finds that the run is no longer under way."""
    answers: list[bool] = []
    beat = store.beat
    monkeypatch.setattr("kdcore.jobs.worker.BEAT_S", 0.02)
    monkeypatch.setattr(store, "beat", lambda *given, **more: answers.append(beat(*given, **more)) or answers[-1])

    def hear(run: Run, event: Event) -> None:
        if isinstance(event, Finished) and run.spec.teacher is None:
            until(lambda: False in answers)

    assert do(store, job(teacher=job(steps=5)), hear=hear).state == "done"


def test_pause_step_and_change(store: Store) -> None:
    run = store.submit(job(steps=30), "me")
    for wish in (Command("set", {"schedule.lr": 0.5}), Command("pause")):
        store.command(run.id, wish, "me")
    thread = threading.Thread(target=Worker(store).work, args=(store.claim(1, run.id),))
    thread.start()
    store.command(run.id, Command("step", 4), "me")
    until(lambda: store.get(run.id).step == 4)
    store.command(run.id, Command("step"), "me")
    until(lambda: store.get(run.id).step == 5)
    store.command(run.id, Command("resume"), "me")
    thread.join()
    done = store.get(run.id)
    assert (done.state, done.pristine) == ("done", False)
    assert {event.learning_rate for event in store.story(run.id) if isinstance(event, Step)} == {0.5}


def test_a_teacher_that_was_changed_is_trained_again(store: Store) -> None:
    """Somebody opens the teacher's own run while it is trained and changes it: the student asked for another."""
    run = store.submit(job("kd", teacher=job(steps=60, pace=0.005)), "me")

    def hear(heard: Run, event: Event) -> None:
        if heard.id != run.id and event.step == 5 and isinstance(event, Step) and not changed:
            changed.append(heard.id)
            store.command(heard.id, Command("set", {"schedule.lr": 0.5}), "me")

    changed: list[str] = []
    done = Worker(store, hear=hear).work(store.claim(1, run.id))
    assert done.state == "done"
    taught = store.get(done.teacher_run)
    assert taught.id not in changed
    assert (taught.spec, taught.pristine) == (job(steps=60, pace=0.005), True)
    assert store.get(changed[0]).spec.changes


def test_a_checkpoint_whose_event_was_never_stored_is_no_checkpoint(store: Store) -> None:
    run = store.submit(job(), "me")
    store.claim(1)
    folder = run.folder / "checkpoints"
    folder.mkdir(parents=True)
    for name in ("00000005.json", "00000010.json", "00000010.tmp"):
        (folder / name).write_text(json.dumps([int(Path(name).stem), 0, {}]))
    store.append(run.id, [Checkpoint(step=5, file="checkpoints/00000005.json")])
    forget_untold(store, run)
    assert [path.name for path in folder.iterdir()] == ["00000005.json"]


def test_what_was_told_before_a_long_step_is_stored_by_the_heartbeat(store: Store) -> None:
    run = store.submit(job(), "me")
    enough = threading.Event()

    def engine(spec: Spec, *_args: object, **_given: object) -> Iterator[Event]:
        yield from (started(spec, 0), point(1), point(2))
        enough.wait()
        yield Finished(step=20, result={})

    worker = Worker(store, engine)
    thread = threading.Thread(target=worker.work, args=(store.claim(1, run.id),))
    thread.start()
    until(lambda: store.get(run.id).step == 2)
    enough.set()
    thread.join()
    assert store.get(run.id).state == "done"
