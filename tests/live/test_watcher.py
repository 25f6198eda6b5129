"""A watcher notices each kind of news, shows the teacher's run first, and looks back exactly."""

import os

import pytest
from stage import COST, OWNER, Stage

from app.live import watcher as module
from app.live.status import status, steps_per_s
from app.live.watcher import Watcher
from kdcore.contracts import Command
from kdcore.errors import BadInput
from kdcore.events import Checkpoint, Started
from kdcore.jobs.store import Store


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROW_S", {True: 0.0, False: 0.0})
    monkeypatch.setattr(module, "TICK_S", 3600.0)


def test_each_kind_of_news_is_noticed_once(store: Store, stage: Stage) -> None:
    watcher = Watcher(store, stage.id)
    assert status(watcher, None, mine=True)["place"] == 1
    stage.begin()
    assert watcher.poll()
    assert not watcher.poll()
    before = watcher.record_version, watcher.field_version
    stage.tell(10)
    assert watcher.poll()
    assert watcher.record_version > before[0]
    assert watcher.field_version == before[1]  # a loss point changes no field
    stage.show("field", 12)
    assert watcher.poll()
    assert watcher.field_version > before[1]
    assert watcher.subject.record(field=True).step == 12
    assert "student_logits" not in watcher.subject.record().frame
    assert not watcher.poll()


def test_the_newest_of_live_and_recorded_frames_is_on_show(store: Store, stage: Stage) -> None:
    stage.begin()
    stage.show("frame", 30)
    stage.record_frame(20)
    watcher = Watcher(store, stage.id)
    assert watcher.subject.record().step == 30
    stage.record_frame(40)
    watcher.poll()
    assert watcher.subject.record().step == 40
    stage.show("frame", 50)
    watcher.poll()
    assert (watcher.subject.record().step, watcher.subject.step) == (50, 50)


def test_once_it_is_over_only_what_was_recorded_counts(store: Store, stage: Stage) -> None:
    stage.begin()
    stage.record_frame(20)
    stage.show("frame", 30)
    watcher = Watcher(store, stage.id)
    store.move(stage.id, "cancelled")
    assert watcher.poll()
    assert watcher.subject.record().step == 20
    assert Watcher(store, stage.id).subject.record().step == 20


def test_looking_back_cuts_the_story_at_the_frame(store: Store, stage: Stage) -> None:
    stage.begin()
    for step in (10, 20, 30):
        stage.tell(step)
        stage.evaluate(step, step / 100)
        stage.record_frame(step)
    watcher = Watcher(store, stage.id)
    record = watcher.subject.record(at=20)
    assert record.step == 20
    assert [step.step for step in record.steps] == [10, 20]
    assert [scored.step for scored in record.evaluations] == [10, 20]
    assert status(watcher, 20, mine=True)["student_accuracy"] == 0.2
    assert watcher.subject.frames == [10, 20, 30]
    with pytest.raises(BadInput, match="No frame was recorded at step 25; the 3 there are lie between 10 and 30"):
        watcher.subject.record(at=25)


def test_while_the_teacher_is_trained_its_run_is_on_show(store: Store, stage: Stage) -> None:
    store.claim(os.getpid(), stage.id)
    teacher = store.adopt(stage.run.spec.teacher, OWNER)
    store.note(stage.id, teacher_run=teacher.id)
    watcher = Watcher(store, stage.id)
    said = status(watcher, None, mine=True)
    assert watcher.subject.id == teacher.id
    assert (said["teaching"], said["steps"]) == (True, teacher.steps)
    assert watcher.folders == {stage.run.folder, teacher.folder}
    facts = {"steps": 5, "device": "cpu", "torch": "2", "classes": ("a", "b"), "rows": {}}
    store.append(stage.id, [Started(step=0, student=COST, teacher=None, **facts)])
    assert watcher.poll()
    assert watcher.subject.id == stage.id
    assert not status(watcher, None, mine=True)["teaching"]


def test_a_resumed_run_takes_back_what_it_tells_again(store: Store, stage: Stage) -> None:
    started = stage.begin()
    stage.tell(10)
    store.append(stage.id, [Checkpoint(step=10, file="checkpoints/10")])
    stage.tell(20)
    watcher = Watcher(store, stage.id)
    store.move(stage.id, "lost")
    watcher.poll()
    assert [step.step for step in watcher.subject.record().steps] == [10, 20]
    store.resume(stage.id, OWNER)
    assert store.claim(os.getpid(), stage.id).attempt == started.attempt + 1
    first = next(heard.event for heard in watcher.subject.told if isinstance(heard.event, Started))
    store.append(stage.id, [first.model_copy(update={"step": 10})])
    watcher.poll()
    assert [step.step for step in watcher.subject.record().steps] == [10]


def test_a_run_that_begins_again_shows_nothing_of_before(store: Store, stage: Stage) -> None:
    stage.begin()
    stage.record_frame(30)
    stage.show("frame", 40)
    watcher = Watcher(store, stage.id)
    assert (status(watcher, None, mine=True)["step"], status(watcher, None, mine=True)["resumes"]) == (40, None)
    store.move(stage.id, "lost")
    watcher.poll()
    assert status(watcher, None, mine=True)["resumes"] == 0  # it had no checkpoint
    store.resume(stage.id, OWNER)
    store.claim(os.getpid(), stage.id)
    watcher.poll()
    first = next(heard.event for heard in watcher.subject.told if isinstance(heard.event, Started))
    store.append(stage.id, [first])
    watcher.poll()
    said = status(watcher, None, mine=True)
    assert (said["step"], said["resumes"], said["steps_per_s"]) == (0, None, None)
    stage.show("frame", 5)
    watcher.poll()
    assert watcher.subject.record().step == 5


def test_a_run_that_broke_off_says_from_where_it_would_go_on(store: Store, stage: Stage) -> None:
    stage.begin()
    for step in (10, 20):
        stage.tell(step)
        store.append(stage.id, [Checkpoint(step=step, file=f"checkpoints/{step}")])
    store.move(stage.id, "failed")
    assert status(Watcher(store, stage.id), None, mine=True)["resumes"] == 20


def test_the_status_says_how_fast_it_goes_and_how_long_it_takes(store: Store, stage: Stage) -> None:
    stage.begin()
    watcher = Watcher(store, stage.id)
    for step in (0, 100, 200):
        stage.tell(step)
    watcher.poll()
    heard = [one for one in watcher.subject.told if one.event.kind == "step"]
    watcher.subject.told = [one._replace(at=1000.0 + place) for place, one in enumerate(heard)]
    said = status(watcher, None, mine=False)
    assert said["steps_per_s"] == 100.0
    assert said["eta_s"] == (2000 - 200) / 100
    assert said["mine"] is False
    assert steps_per_s(watcher.subject.told[:1]) is None
    apart = [one._replace(at=1000.0 + 60 * place) for place, one in enumerate(heard)]
    assert steps_per_s(apart) == 100 / 60
    assert steps_per_s([], [(1000.0, 20), (1002.0, 40), (1010.0, 100)]) == 60 / 8  # long before the first loss points
    assert steps_per_s(apart, [(1125.0, 250)]) == 50 / 5
    store.command(stage.id, Command("pause"), OWNER)
    watcher.poll()
    assert status(watcher, None, mine=False)["eta_s"] is None


def test_a_run_that_is_not_there_is_said_at_once(store: Store) -> None:
    with pytest.raises(BadInput, match="no run named 'nowhere'"):
        Watcher(store, "nowhere")
