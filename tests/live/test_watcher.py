"""A watcher notices each kind of news, shows the teacher's run first, and looks back exactly."""

import json
import os
from typing import Any

import pytest
from stage import COST, OWNER, Stage

from app import theme
from app.live import run_watcher as module
from app.live.render import Looker, draw
from app.live.run_watcher import Watcher
from app.live.status import status, steps_per_s
from app.panels import panel, panels
from app.panels._lacks import Later
from kdcore.contracts.control import Command
from kdcore.errors import BadInput
from kdcore.events import Checkpoint, Evaluated, Event, Loss, Score, Started, Step
from kdcore.jobs.rows import Run
from kdcore.jobs.states import State
from kdcore.jobs.store import Store
from kdcore.spec.lineage import recommended
from kdcore.spec.spec import Spec


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


def adopted(store: Store, spec: Spec | None) -> Run:
    """The run of a network that is trained before the stage's own, which a worker has begun."""
    assert spec
    run = store.adopt(spec, OWNER)
    facts = {"steps": 300, "device": "cpu", "torch": "2", "classes": ("a", "b"), "rows": {}}
    store.append(run.id, [Started(step=0, student=COST, teacher=None, **facts)])
    labels = {"labels": Loss(weight=1, value=0.5)}
    store.append(run.id, [Step(step=20, learning_rate=0.1, loss=0.5, terms=labels, train_accuracy=0.8)])
    score = Score(accuracy=0.8, nll=0.3, ece=0.1)
    store.append(run.id, [Evaluated(step=10, split="val", student=score)])
    return run


def test_the_teachers_own_training_is_called_and_coloured_the_teachers(store: Store, stage: Stage) -> None:
    store.claim(os.getpid(), stage.id)
    teacher = adopted(store, stage.run.spec.teacher)
    store.note(stage.id, teacher_run=teacher.id)
    watcher = Watcher(store, stage.id)
    said = status(watcher, None, mine=True)
    assert (said["learner"], said["taught"], said["split"], said["scored_step"]) == ("teacher", False, "val", 10)
    for look in ("light", "dark"):
        figure = drawn(watcher, "accuracy", theme=look)["figure"]
        lines = {trace["name"]: trace["line"]["color"] for trace in figure["data"]}
        assert lines == {"teacher, training": theme.MUTED[look], "teacher": theme.TEACHER[look]}
        assert "tudent" not in json.dumps(figure)
    assert "without a teacher" in drawn(watcher, "fidelity")["lacks"]
    own = Watcher(store, teacher.id)  # opened by its own link, where no student is to come
    assert [trace["name"] for trace in drawn(own, "accuracy")["figure"]["data"]] == ["network, training", "network"]


def test_a_network_that_nobody_teaches_has_one_name_whoever_had_it_made(store: Store, stage: Stage) -> None:
    assert stage.run.spec.teacher
    by_hand = store.submit(stage.run.spec.teacher.model_copy(update={"seed": 5}), OWNER)
    as_teacher = store.adopt(stage.run.spec.teacher, OWNER)
    assert [status(Watcher(store, run.id), None, mine=True)["learner"] for run in (by_hand, as_teacher)] == [
        "network",
        "network",
    ]
    mutual = store.submit(recommended("digits", "dml"), OWNER)  # its peers teach it
    assert Watcher(store, mutual.id).subject.learner == "student"


def test_whoever_is_trained_on_the_way_is_shown_under_its_own_name(store: Store) -> None:
    run = store.submit(recommended("digits", "takd"), OWNER)
    store.claim(os.getpid(), run.id)
    assistant = store.adopt(run.spec.teacher, OWNER)
    teacher = adopted(store, assistant.spec.teacher)
    store.note(run.id, teacher_run=assistant.id)
    store.note(assistant.id, teacher_run=teacher.id)
    watcher = Watcher(store, run.id)
    assert (watcher.subject.id, watcher.subject.learner) == (teacher.id, "teacher")
    store.move(teacher.id, "lost")
    adopted(store, run.spec.teacher)
    watcher.poll()
    assert (watcher.subject.id, watcher.subject.learner) == (assistant.id, "assistant")
    assert status(watcher, None, mine=True)["taught"]
    for look in ("light", "dark"):
        lines = drawn(watcher, "accuracy", theme=look)["figure"]["data"]
        assert [one["line"]["color"] for one in lines if one["name"] == "assistant"] == [theme.MENTOR[look]]


def test_mentors_are_shown_while_they_are_trained(store: Store) -> None:
    run = store.submit(recommended("digits", "classroom"), OWNER)
    store.claim(os.getpid(), run.id)
    mentor = adopted(store, run.spec.mentors[1])
    assert Watcher(store, run.id).subject.id == mentor.id
    assert Watcher(store, run.id).subject.learner == "mentor 2"


def drawn(watcher: Watcher, name: str, **view: object) -> dict[str, Any]:
    payload = draw(watcher, panel(name), Looker(**view), 1).payload
    assert isinstance(payload, str)
    return dict(json.loads(f"{{{payload}}}"))


@pytest.mark.parametrize(
    ("state", "said"),
    [("failed", "The run failed before"), ("cancelled", "was stopped before"), ("lost", "was interrupted before")],
)
def test_a_run_that_ended_early_promises_nothing(store: Store, stage: Stage, state: State, said: str) -> None:
    stage.begin()
    watcher = Watcher(store, stage.id)
    names = [name for name, one in panels().items() if isinstance(one.lacks(watcher.subject.record()), Later)]
    assert len(names) > 5
    assert "appears within a few steps" in drawn(watcher, "loss")["lacks"]
    store.move(stage.id, state)
    for name in names:
        assert said in drawn(Watcher(store, stage.id), name)["lacks"]


def test_readouts_say_on_what_and_when_they_were_measured(store: Store, stage: Stage) -> None:
    stage.begin()
    stage.evaluate(10, 0.5)
    for step in (10, 11, 12):  # single steps
        stage.tell(step)
    said = status(Watcher(store, stage.id), None, mine=True)
    assert (said["split"], said["scored_step"], said["loss_step"], said["step"]) == ("val", 10, 12, 12)
    assert (said["learner"], said["taught"], said["begins"]) == ("student", True, None)


def test_a_student_that_has_not_begun_is_said_to_wait(store: Store, stage: Stage) -> None:
    started = next(event for event in _told(store, stage) if isinstance(event, Started))
    store.append(stage.id, [started.model_copy(update={"lead": 60})])
    stage.evaluate(60, 0.1)
    stage.record_frame(60)
    watcher = Watcher(store, stage.id)
    assert status(watcher, None, mine=True)["begins"] == 60
    assert "starts at step 60" in json.dumps(drawn(watcher, "accuracy"))
    assert "points behind" not in json.dumps(drawn(watcher, "accuracy"))
    stage.tell(61)
    stage.evaluate(70, 0.4)
    watcher.poll()
    assert status(watcher, None, mine=True)["begins"] is None
    assert "validation, step 70: 57.0 points behind" in json.dumps(drawn(watcher, "accuracy"))


def _told(store: Store, stage: Stage) -> list[Event]:
    stage.begin()
    return store.story(stage.id)


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


def test_a_run_that_is_to_stop_says_so_and_goes_on_at_full_speed(store: Store, stage: Stage) -> None:
    stage.begin()
    watcher = Watcher(store, stage.id)
    watcher.asked(Command("speed", 10.0))
    store.command(stage.id, Command("cancel"), OWNER)
    assert watcher.poll()
    assert status(watcher, None, mine=True)["stopping"]
    store.move(stage.id, "cancelled")
    store.resume(stage.id, OWNER)
    store.claim(os.getpid(), stage.id)
    assert watcher.poll()
    said = status(watcher, None, mine=True)
    assert (said["state"], said["stopping"], said["speed"]) == ("running", False, None)


def test_a_run_that_waits_says_that_a_paused_one_keeps_its_worker(store: Store, stage: Stage) -> None:
    stage.begin()
    watcher = Watcher(store, store.submit(recommended("moons", "kd", seed=5), OWNER).id)
    said = status(watcher, None, mine=True)
    assert (said["place"], said["held"]) == (1, 0)
    store.command(stage.id, Command("pause"), OWNER)
    assert watcher.poll()
    assert status(watcher, None, mine=True)["held"] == 1
    store.command(stage.id, Command("resume"), OWNER)
    assert watcher.poll()
    assert status(watcher, None, mine=True)["held"] == 0


def test_the_status_says_how_fast_it_goes_and_how_long_it_takes(store: Store, stage: Stage) -> None:
    stage.begin()
    watcher = Watcher(store, stage.id)
    for step in (0, 100, 200):
        stage.tell(step)
    watcher.poll()
    heard = [one for one in watcher.subject.told if one.event.kind == "step"]
    watcher.subject.told = [one._replace(at=1000.0 + place) for place, one in enumerate(heard)]
    watcher.begun = 1000.0
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


DAY_S = 86_400.0


@pytest.mark.parametrize(
    ("points", "begun", "paced", "expected"),
    [
        ([(0.0, 0), (1.0, 100), (DAY_S, 150)], 0.0, DAY_S - 1, 50.0),  # a pause of a day
        ([(0.0, 0), (1.0, 100), (DAY_S, 150), (DAY_S + 9, 240)], 0.0, DAY_S - 1, 10.0),  # later the last seconds count
        (
            [(0.0, 0), (1.0, 100), (50.0, 101), (60.0, 102), (DAY_S, 152)],
            0.0,
            DAY_S - 1,
            50.0,
        ),  # single steps meanwhile
        ([(0.0, 0), (1.0, 100)], 0.0, DAY_S, None),  # it has only just been let go on
        ([(0.0, 0), (1.0, 100), (2.0, 101), (3.0, 102)], 0.0, 1.0, 1.0),  # slowed down
        ([(0.0, 0), (1.0, 100), (DAY_S, 60), (DAY_S + 1, 80)], DAY_S - 5, 0.0, 20.0),  # resumed after a break of a day
        ([(0.0, 0), (1.0, 100), (DAY_S, 60)], DAY_S - 5, 0.5, None),  # and one point is too little
    ],
)
def test_the_speed_is_that_since_it_last_went_on(
    points: list[tuple[float, int]], begun: float, paced: float, expected: float | None
) -> None:
    assert steps_per_s([], points, begun, paced) == pytest.approx(expected)


def test_the_time_left_after_a_pause_is_that_of_the_steps_since(store: Store, stage: Stage) -> None:
    stage.begin()
    stage.tell(0)
    stage.tell(100)
    for wish in ("pause", "resume"):
        store.command(stage.id, Command(wish), OWNER)
        store.take_commands(stage.id)
    stage.tell(200)
    watcher = Watcher(store, stage.id)
    assert watcher.begun == store.get(stage.id).started_at
    assert [one.at for one in watcher.subject.told][-2] <= watcher.paced <= watcher.subject.told[-1].at
    told = [one._replace(at=one.at + DAY_S) if one.event.step == 200 else one for one in watcher.subject.told]
    watcher.subject.told, watcher.paced = told, told[-1].at - 5.0
    said = status(watcher, None, mine=False)
    assert said["eta_s"] == pytest.approx((2000 - 200) / (100 / 5.0))


def test_a_run_that_is_not_there_is_said_at_once(store: Store) -> None:
    with pytest.raises(BadInput, match="no run named 'nowhere'"):
        Watcher(store, "nowhere")
