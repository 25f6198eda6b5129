"""The store's promises: one run per wish, everyone's own, nothing half done, nothing lost."""

import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from fixture_jobs import job, point

from kdcore.contracts.control import Command
from kdcore.errors import BadInput
from kdcore.events import Changed, Finished
from kdcore.jobs.rows import Run
from kdcore.jobs.states import WORDS, IllegalMove, State
from kdcore.jobs.store import Store
from kdcore.jobs.tables import one_sentence


def finish(store: Store, run: Run, accuracy: float = 0.9) -> None:
    store.claim(1, run.id)
    run.folder.mkdir(parents=True)
    run.weights.write_text("weights")
    store.append(run.id, [Finished(step=20, result={"student_accuracy": accuracy})])


def test_a_new_run_waits(store: Store) -> None:
    run = store.submit(job(steps=7), "me", label="first")
    assert (run.state, run.owner, run.label, run.step, run.steps) == ("queued", "me", "first", 0, 7)
    assert run.spec == job(steps=7)
    assert run.hash == run.spec.hash
    assert run.folder == store.home / "runs" / run.id
    assert len(run.id) == 10
    assert set(run.id) <= set("abcdefghijklmnopqrstuvwxyz234567")


def test_the_same_wish_is_one_run_while_it_waits_runs_and_is_done(store: Store) -> None:
    run = store.submit(job(), "me")
    assert store.submit(job(), "me").id == run.id
    store.claim(1)
    assert store.submit(job(), "me").id == run.id
    store.append(run.id, [Finished(step=20, result={})])
    assert store.submit(job(), "me").id == run.id
    assert store.submit(job(seed=1), "me").id != run.id
    assert store.submit(job(), "you").id != run.id
    assert store.submit(job(), "me", fresh=True).id != run.id


@pytest.mark.parametrize("end", ["failed", "cancelled", "lost"])
def test_a_run_that_ended_badly_is_no_answer(store: Store, end: str) -> None:
    run = store.submit(job(), "me")
    store.claim(1)
    store.move(run.id, end)
    assert store.submit(job(), "me").id != run.id


def test_a_changed_or_deleted_run_is_no_answer(store: Store) -> None:
    changed = store.submit(job(), "me")
    store.claim(1)
    store.append(changed.id, [Changed(step=1, path="schedule.lr", old=0.1, new=0.2)])
    finish_events = [Finished(step=20, result={})]
    store.append(changed.id, finish_events)
    assert not store.get(changed.id).pristine
    assert store.finished_teacher(changed.hash) is None
    store.get(changed.id).weights.parent.mkdir(parents=True)
    store.get(changed.id).weights.touch()
    assert store.finished_teacher(changed.hash) is None
    second = store.submit(job(), "me")
    assert second.id != changed.id
    store.delete(second.id, "me")
    assert store.submit(job(), "me").id != second.id


def test_a_run_that_is_being_stopped_is_no_answer(store: Store) -> None:
    run = store.submit(job(), "me")
    store.claim(1)
    store.command(run.id, Command("cancel"), "me")
    assert store.submit(job(), "me").id != run.id


@pytest.mark.parametrize("state", ["done", "failed", "cancelled", "lost"])
def test_refusals_name_states_as_the_pages_do(store: Store, state: State) -> None:
    run = store.submit(job(), "me")
    store.claim(1)
    store.move(run.id, state)
    with pytest.raises(BadInput, match=f"^Run {run.id} is {WORDS[state]}, so nothing can be asked of it"):
        store.command(run.id, Command("pause"), "me")
    if state == "done":
        with pytest.raises(BadInput, match=r"is done, but only runs that are failed, stopped or interrupted can be"):
            store.resume(run.id, "me")


def test_two_processes_that_submit_at_once_get_one_run(store: Store) -> None:
    code = (
        "import sys, fixture_jobs; from kdcore.jobs.store import Store; store = Store(); sys.stdin.readline();"
        "print(*[store.submit(fixture_jobs.job(seed=n), 'me').id for n in range(20)])"
    )
    command = [sys.executable, "-c", code]
    racers = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    for racer in racers:
        assert racer.stdin
        racer.stdin.write("go\n")
        racer.stdin.flush()
    answers = {racer.communicate()[0] for racer in racers}
    assert len(answers) == 1
    assert len(store.runs()) == 20


def test_a_finished_event_makes_the_run_done(store: Store) -> None:
    run = store.submit(job(), "me")
    finish(store, run, 0.75)
    done = store.get(run.id)
    assert (done.state, done.result, done.step) == ("done", {"student_accuracy": 0.75}, 20)
    assert done.finished_at
    assert store.finished_teacher(run.hash).id == run.id
    done.weights.unlink()
    assert store.finished_teacher(run.hash) is None


def test_the_log_is_gap_free_under_concurrent_writers(store: Store) -> None:
    run = store.submit(job(), "me")
    store.claim(1)
    stores = [Store(store.home) for _ in range(3)]

    def write(own: Store) -> None:
        for batch in range(10):
            own.append(run.id, [point(batch), point(batch + 1)])

    threads = [threading.Thread(target=write, args=(own,)) for own in [*stores, store]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    heard = store.events(run.id, limit=None)
    assert [one.seq for one in heard] == list(range(1, 81))
    assert [one.event.step for one in heard[0::2]] == [one.event.step - 1 for one in heard[1::2]]  # batches stay whole
    assert [one.seq for one in store.events(run.id, after=70, limit=5)] == [71, 72, 73, 74, 75]
    for own in stores:
        own.close()


def test_a_worker_that_lost_its_run_may_not_write(store: Store) -> None:
    run = store.submit(job(), "me")
    first = store.claim(1)
    store.expire(now=1e12)
    with pytest.raises(IllegalMove, match="no longer holds"):
        store.append(run.id, [point(1)], first.attempt)
    store.resume(run.id, "me")
    second = store.claim(2)
    assert not store.beat(run.id, attempt=first.attempt)
    assert store.beat(run.id, attempt=second.attempt)
    with pytest.raises(IllegalMove):
        store.append(run.id, [point(1)], first.attempt)
    with pytest.raises(IllegalMove):
        store.move(run.id, "failed", attempt=first.attempt)
    store.append(run.id, [point(1)], second.attempt)
    assert len(store.events(run.id)) == 1


def test_a_lease_that_is_renewed_does_not_expire(store: Store) -> None:
    run = store.submit(job(), "me")
    claimed = store.claim(1)
    assert store.expire(claimed.lease_until - 1) == []
    store.beat(run.id, lease_s=1000)
    assert store.expire(claimed.lease_until + 1) == []
    (lost,) = store.expire(claimed.lease_until + 1001)
    assert (lost.id, lost.state, lost.pid) == (run.id, "lost", 1)


def test_commands_are_handed_out_once_in_order(store: Store) -> None:
    run = store.submit(job(), "me")
    wishes = [Command("pause"), Command("set", {"schedule.lr": 0.5}), Command("step", 3), Command("speed", 2.5)]
    for wish in wishes:
        store.command(run.id, wish, "me")
    assert store.get(run.id).paused
    assert store.take_commands(run.id) == wishes
    assert store.take_commands(run.id) == []
    store.command(run.id, Command("resume"), "me")
    assert not store.get(run.id).paused
    assert store.take_commands(run.id) == [Command("resume")]


@pytest.mark.parametrize(
    ("wish", "says"),
    [
        (Command("set", {"schedule.lr": -1}), "schedule.lr"),
        (Command("set", {"schedule.steps": 5}), "cannot be changed"),
        (Command("set", 5), "takes settings"),
        (Command("step", 0), "whole number"),
        (Command("speed", 0), "above 0"),
        (Command("explode"), "can pause, resume"),
    ],
)
def test_a_senseless_wish_is_refused_where_it_is_made(store: Store, wish: Command, says: str) -> None:
    run = store.submit(job(), "me")
    with pytest.raises(BadInput, match=says):
        store.command(run.id, wish, "me")
    assert store.take_commands(run.id) == []


def test_cancel_of_a_waiting_run_is_at_once_and_of_a_running_one_is_asked(store: Store) -> None:
    waiting, running = store.submit(job(), "me"), store.submit(job(seed=1), "me")
    store.command(waiting.id, Command("cancel"), "me")
    assert store.get(waiting.id).state == "cancelled"
    assert store.claim(1).id == running.id
    store.command(running.id, Command("cancel"), "me")
    assert store.get(running.id).state == "running"
    assert store.take_commands(running.id) == [Command("cancel")]
    store.gone(1, "gone")
    assert store.get(running.id).state == "cancelled"
    with pytest.raises(BadInput, match="is stopped, so nothing"):
        store.command(running.id, Command("pause"), "me")


def test_nobody_touches_what_is_somebody_elses(store: Store) -> None:
    run = store.submit(job(), "me")
    for ask in (
        lambda: store.command(run.id, Command("cancel"), "you"),
        lambda: store.delete(run.id, "you"),
        lambda: store.restore(run.id, "you"),
        lambda: store.resume(run.id, "you"),
    ):
        with pytest.raises(BadInput, match="belongs to somebody else"):
            ask()
    assert store.get(run.id) == run


def test_resume_queues_again_and_forgets_old_wishes(store: Store) -> None:
    run = store.submit(job(), "me")
    with pytest.raises(BadInput, match="failed, stopped or interrupted"):
        store.resume(run.id, "me")
    store.claim(1)
    store.command(run.id, Command("cancel"), "me")
    store.gone(1, "gone")
    again = store.resume(run.id, "me")
    assert (again.state, again.cancel_at, again.message) == ("queued", None, None)
    assert store.take_commands(run.id) == []
    assert store.claim(2).attempt == 2


def test_a_setting_that_nobody_heard_of_holds_when_the_run_goes_on(store: Store) -> None:
    run = store.submit(job(), "me")
    store.claim(1)
    wish = Command("set", {"schedule.lr": 0.5})
    for asked in (wish, Command("pause"), Command("speed", 2.0)):
        store.command(run.id, asked, "me")
    store.gone(1, "gone")
    store.resume(run.id, "me")
    assert store.take_commands(run.id) == [wish]


def test_delete_undo_and_purge(store: Store) -> None:
    run = store.submit(job(), "me")
    finish(store, run)
    store.delete(run.id, "me")
    assert [found.id for found in store.runs()] == []
    assert [found.id for found in store.runs(deleted=True)] == [run.id]
    assert store.finished_teacher(run.hash) is None
    assert store.purge(older_than_s=3600) == []
    assert store.restore(run.id, "me").deleted_at is None
    assert [found.id for found in store.runs()] == [run.id]
    store.delete(run.id, "me")
    assert store.purge(older_than_s=-1) == [run.id]
    assert not run.folder.exists()
    with pytest.raises(BadInput, match="no run named"):
        store.get(run.id)


def test_a_running_run_is_not_deleted_and_a_waiting_one_is_cancelled(store: Store) -> None:
    running, waiting = store.submit(job(), "me"), store.submit(job(seed=1), "me")
    store.claim(1)
    with pytest.raises(BadInput, match="stop it before"):
        store.delete(running.id, "me")
    store.delete(waiting.id, "me")
    assert store.get(waiting.id).state == "cancelled"
    assert store.claim(1) is None


def test_a_mistyped_id_gets_the_nearest(store: Store) -> None:
    run = store.submit(job(), "me")
    with pytest.raises(BadInput, match=f"Did you mean '{run.id}'"):
        store.get(run.id[:-1])


def test_runs_are_newest_first_and_by_state(store: Store) -> None:
    ids = [store.submit(job(seed=n), "me").id for n in range(4)]
    store.claim(1)
    assert [run.id for run in store.runs()] == ids[::-1]
    assert [run.id for run in store.runs(states={"running"})] == ids[:1]


def test_a_teacher_is_adopted_once(store: Store) -> None:
    mine = store.adopt(job(), "me")
    assert mine.state == "running"
    assert store.adopt(job(), "you").id == mine.id  # it runs, so it is waited for
    store.move(mine.id, "lost")
    other = store.adopt(job(), "you")
    assert other.id != mine.id  # another's unfinished run is left alone
    store.move(other.id, "failed")
    again = store.adopt(job(), "me")
    assert (again.id, again.attempt) == (mine.id, 2)
    again.folder.mkdir(parents=True)
    again.weights.write_text("weights")
    store.append(again.id, [Finished(step=20, result={})])
    assert store.adopt(job(), "you").id == mine.id


def test_a_spec_nobody_can_read_holds_nobody_up(store: Store) -> None:
    old, new = store.submit(job(), "me"), store.submit(job(seed=1), "me")
    with sqlite3.connect(store.home / "runs.db") as database:
        database.execute("UPDATE run SET spec = replace(spec, 'mlp', 'perceptron') WHERE id = ?", (old.id,))
    database.close()
    assert [run.id for run in store.runs()] == [new.id]
    assert store.claim(1).id == new.id
    with pytest.raises(BadInput, match="perceptron"):
        store.get(old.id)


@pytest.mark.parametrize("damage", [b"not a database at all " * 500, None])
def test_a_store_that_cannot_be_opened_is_one_sentence(tmp_path: Path, damage: bytes | None) -> None:
    if damage:
        (tmp_path / "runs.db").write_bytes(damage)
    else:
        (tmp_path / "runs.db").mkdir()
    with pytest.raises(BadInput, match=r"^The run store .* cannot be used \(.*\); .*\.$"):
        Store(tmp_path)


@pytest.mark.parametrize(
    ("cause", "remedy"),
    [
        ("database or disk is full", "free some disk space in the folder /there and try again."),
        ("disk I/O error", "the disk is full or not writable: free some space in the folder /there, or let it be "),
        ("unable to open database file", "check that the folder /there is there and may be written to."),
        ("", "check that the folder /there is there and may be written to."),
    ],
)
def test_what_the_disk_refuses_says_what_to_do_and_where(cause: str, remedy: str) -> None:
    with pytest.raises(BadInput) as caught, one_sentence("/there/runs.db"):
        raise sqlite3.OperationalError(cause)
    assert remedy in str(caught.value)
    assert f"({cause or 'OperationalError'})" in str(caught.value)


def test_a_damaged_database_is_named_and_not_the_one_of_the_home(tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    other.write_bytes(b"not a database at all " * 500)
    with pytest.raises(BadInput, match=rf"^The run store {other} cannot be used"):
        Store(tmp_path / "home", f"sqlite:///{other}")


@pytest.mark.parametrize(
    "url", ["nosuch://me:secret@host/db", "mysql+nosuch://me:secret@host/db", "secret", "sqlite://me:secret@host:x/db"]
)
def test_a_url_of_no_database_is_one_sentence_without_its_password(tmp_path: Path, url: str) -> None:
    with pytest.raises(BadInput, match=r"^The database URL cannot be used \([^\n]+\); .*KDLAB_DATABASE.*\.$") as caught:
        Store(tmp_path, url)
    assert "secret" not in str(caught.value)


def test_a_store_of_a_later_version_is_refused(store: Store) -> None:
    with sqlite3.connect(store.home / "runs.db") as database:
        database.execute("UPDATE ledger SET version = 99")
    database.close()
    with pytest.raises(BadInput, match="later KD Lab"):
        Store(store.home)


def test_a_full_disk_stores_all_or_nothing(store: Store) -> None:
    run = store.submit(job(), "me")
    store.claim(1)
    with store._writing.connect() as connection:  # as if the disk ended here
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
    small = Store(store.home)

    def limit(connection: sqlite3.Connection, _record: object) -> None:
        connection.execute(f"PRAGMA max_page_count = {pages + 2}")

    from sqlalchemy import event

    small._engine.dispose()
    event.listen(small._engine, "connect", limit)
    with pytest.raises(BadInput, match=f"free some disk space in the folder {store.home} and try again"):
        small.append(run.id, [point(step) for step in range(2000)])
    assert store.events(run.id) == []
    assert store.get(run.id).step == 0
    small.close()


def test_many_processes_may_open_a_new_store_at_once(tmp_path: Path) -> None:
    code = "from kdcore.jobs.store import Store; import sys; sys.stdin.readline(); Store().runs()"
    command = [sys.executable, "-c", code]
    env = {"KDLAB_HOME": str(tmp_path), "PYTHONPATH": ":".join(sys.path)}
    openers = [subprocess.Popen(command, stdin=subprocess.PIPE, env=env) for _ in range(4)]
    for opener in openers:
        opener.communicate(b"go\n")
    assert [opener.returncode for opener in openers] == [0] * 4
