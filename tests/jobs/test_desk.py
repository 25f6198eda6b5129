"""The desk hears wishes, batches events and knows who looks."""

import os
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from fixture_jobs import job, point

from kdcore.contracts.control import Audience, Command
from kdcore.events import Checkpoint, Evaluated, Score
from kdcore.jobs import desk as desk_module
from kdcore.jobs.desk import WorkerDesk, attend, audience_of
from kdcore.jobs.store import Store
from kdcore.runs.record import read_arrays


@pytest.fixture
def desk(store: Store) -> WorkerDesk:
    store.submit(job(), "me")
    run = store.claim(1)
    assert run
    return WorkerDesk(store, run)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The desk's clock: one number, moved by hand."""
    now = [100.0]
    hands = SimpleNamespace(monotonic=lambda: now[0], time=time.time, sleep=time.sleep)
    monkeypatch.setattr(desk_module, "time", hands)
    return now


def test_events_go_out_in_batches(desk: WorkerDesk, store: Store, clock: list[float]) -> None:
    for step in range(1, 6):
        desk.tell(point(step))
    assert len(store.events(desk.run.id)) == 1  # the first at once, the others wait
    clock[0] += 2 * desk_module.WISHES_S
    desk.commands()
    assert len(store.events(desk.run.id)) == 5


@pytest.mark.usefixtures("clock")
def test_what_a_run_tells_before_its_first_step_goes_out_at_once(desk: WorkerDesk, store: Store) -> None:
    score = Score(accuracy=0.5, nll=0.7, ece=0.1)
    for heard, split in enumerate(("val", "test"), start=1):
        desk.tell(Evaluated(step=0, split=split, student=score))
        assert len(store.events(desk.run.id)) == heard


@pytest.mark.usefixtures("clock")
def test_what_matters_goes_out_at_once(desk: WorkerDesk, store: Store) -> None:
    for event in (point(1), point(2), Checkpoint(step=2, file="x")):
        desk.tell(event)
    assert [one.event.step for one in store.events(desk.run.id)] == [1, 2, 2]
    desk.tell(point(3))
    desk.show("frame", {"step": np.array(3)})
    assert store.get(desk.run.id).step == 3
    assert int(read_arrays(desk.run.folder / "live" / "frame.npz")["step"]) == 3


def test_wishes_are_read_now_and_then(desk: WorkerDesk, store: Store, clock: list[float]) -> None:
    assert desk.commands() == []
    store.command(desk.run.id, Command("pause"), "me")
    assert desk.commands() == []
    clock[0] += 2 * desk_module.WISHES_S
    assert desk.commands() == [Command("pause")]


def test_a_process_that_ends_cancels_without_a_wish(desk: WorkerDesk) -> None:
    desk.stopping.set()
    assert desk.commands() == [Command("cancel")]
    assert not desk.cancelled


def test_who_looks_is_known_until_they_are_silent(desk: WorkerDesk, clock: list[float]) -> None:
    assert desk.audience() == Audience()
    attend(desk.run.folder, Audience(frames_hz=2.0, field_hz=20.0))
    assert desk.audience() == Audience()
    clock[0] += 2 * desk_module.AUDIENCE_S
    assert desk.audience() == Audience(2.0, 20.0)
    path = desk.run.folder / "live" / "audience.json"
    os.utime(path, (time.time() - 4, time.time() - 4))
    clock[0] += 2 * desk_module.AUDIENCE_S
    assert desk.audience() == Audience()
    assert [item.name for item in path.parent.iterdir()] == ["audience.json"]


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"frames_hz": "many"}', '{"loudness": 3}'])
def test_a_damaged_note_is_nobody(text: str, tmp_path: Path) -> None:
    (tmp_path / "live").mkdir()
    (tmp_path / "live" / "audience.json").write_text(text)
    assert audience_of(tmp_path) == Audience()


def test_a_disk_that_refuses_a_picture_ends_no_run(desk: WorkerDesk) -> None:
    desk.run.folder.parent.mkdir(parents=True, exist_ok=True)
    desk.run.folder.write_text("a file where the folder should be")
    desk.show("frame", {"step": np.array(1)})


@pytest.mark.usefixtures("clock")
def test_wishes_made_while_the_teacher_learns(store: Store) -> None:
    store.submit(job("kd", teacher=job()), "me")
    student = WorkerDesk(store, store.claim(1))
    teacher = WorkerDesk(store, store.adopt(job(), "me"), pupil=student)
    for wish in (Command("set", {"schedule.lr": 0.5}), Command("speed", 3.0), Command("pause")):
        store.command(student.run.id, wish, "me")
    assert teacher.commands() == [Command("speed", 3.0), Command("pause")]
    student.begin()
    assert student.commands() == [Command("pause"), Command("speed", 3.0), Command("set", {"schedule.lr": 0.5})]


@pytest.mark.usefixtures("clock")
def test_a_setting_asked_while_the_teacher_learns_outlives_the_worker(store: Store) -> None:
    run = store.submit(job("kd", teacher=job()), "me")
    student = WorkerDesk(store, store.claim(1))
    teacher = WorkerDesk(store, store.adopt(job(), "me"), pupil=student)
    wish = Command("set", {"schedule.lr": 0.5})
    store.command(run.id, wish, "me")
    assert teacher.commands() == []
    store.gone(1, "gone")
    store.resume(run.id, "me")
    again = WorkerDesk(store, store.claim(2))
    again.begin()
    assert again.commands() == [wish]
    assert again.commands() == []


@pytest.mark.parametrize("awaited", [False, True])
def test_cancel_reaches_the_teacher_unless_somebody_else_waits(awaited: bool, store: Store, clock: list[float]) -> None:
    run = store.submit(job("kd", teacher=job()), "me")
    student = WorkerDesk(store, store.claim(1))
    teacher = WorkerDesk(store, store.adopt(job(), "me"), pupil=student)
    if awaited:
        store.submit(job("kd", teacher=job(), seed=5), "you")
    store.command(run.id, Command("cancel"), "me")
    assert teacher.commands() == ([] if awaited else [Command("cancel")])
    assert (student.cancelled, teacher.cancelled) == (True, not awaited)
    assert store.get(run.id).state == "cancelled"
    clock[0] += 1
    assert teacher.commands() == []
