"""The story of an interrupted run is that of an uninterrupted one."""

import sqlite3
from collections.abc import Sequence

import pytest
from fixture_jobs import job, started
from hypothesis import given
from hypothesis import strategies as st

from kdcore.events import Changed, Checkpoint, Event, Finished, Step
from kdcore.jobs.log import Heard, story
from kdcore.jobs.store import Store

EVERY, LAST = 4, 20


def whole() -> list[Event]:
    """What the run tells when nobody interrupts it."""
    told: list[Event] = [started(job(steps=LAST), 0)]
    for step in range(1, LAST + 1):
        told.append(Step(step=step, learning_rate=0.1, loss=1 / step, terms={}, train_accuracy=0.5))
        if step % EVERY == 0:
            told.append(Checkpoint(step=step, file=f"{step}"))
    return [*told, Finished(step=LAST, result={})]


def interrupted(cuts: Sequence[int]) -> list[Event]:
    """The log when attempt after attempt stores only `cut` events of what it has to tell."""
    log: list[Event] = []
    saved = 0
    for cut in [*cuts, LAST * 2]:
        if saved:
            rest = [started(job(steps=LAST), saved)]
            rest += whole()[
                next(p for p, e in enumerate(whole()) if isinstance(e, Checkpoint) and e.step == saved) + 1 :
            ]
        else:
            rest = whole()
        log += rest[:cut]
        saved = max([saved, *(event.step for event in rest[:cut] if isinstance(event, Checkpoint))])
    return log


def told(events: Sequence[Event]) -> list[Event]:
    return [heard.event for heard in story(Heard(seq, 0.0, event) for seq, event in enumerate(events, 1))]


@given(st.lists(st.integers(0, 26), max_size=5))
def test_interruptions_leave_no_trace(cuts: list[int]) -> None:
    assert told(interrupted(cuts)) == whole()


def test_a_change_after_the_checkpoint_is_gone_with_the_attempt() -> None:
    events = whole()
    place = events.index(Checkpoint(step=8, file="8"))
    change = Changed(step=8, path="schedule.lr", old=0.1, new=0.2)
    resumed = started(job(steps=LAST), 8)
    assert told([*events[: place + 1], change, resumed, *events[place + 1 :]]) == events


def test_a_story_that_goes_on_is_what_was_told_so_far() -> None:
    assert told(whole()[:7]) == whole()[:7]
    assert told([]) == []


@pytest.mark.parametrize("result", ['{"unsteady": Infinity}', '{"chance_nll": 1.0}', '{"odd": 1.0}', "[]"])
def test_a_result_that_no_run_has_is_none_to_whoever_opens_its_store(store: Store, result: str) -> None:
    run = store.submit(job(), "me")
    store.claim(1)
    store.append(run.id, [Finished(step=20, result={"student_accuracy": 0.5})])
    with sqlite3.connect(store.home / "runs.db") as database:
        database.execute("UPDATE run SET result = ?", (result,))
        database.execute("UPDATE event SET body = replace(body, '{\"student_accuracy\":0.5}', ?)", (result,))
    database.close()
    assert store.get(run.id).result == {}
    assert [run.result for run in store.runs()] == [{}]
    assert store.events(run.id)[-1].event == store.ending(run.id) == Finished(step=20, result={})
