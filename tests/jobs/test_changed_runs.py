"""What was changed during a run is part of what the run is: its spec and its hash say so."""

from pathlib import Path

from fixture_jobs import job

from kdcore.contracts.control import Command
from kdcore.events import Changed, Finished
from kdcore.jobs.store import Store
from kdcore.runs.changes import with_changes
from kdcore.spec.spec import Change

LR = Changed(step=1, path="schedule.lr", old=0.05, new=0.2)


def test_a_changed_run_is_what_it_became(store: Store) -> None:
    """Its spec and hash hold the changes, so whoever asks for just that is answered by it, and nobody else."""
    asked = store.submit(job(), "me")
    store.claim(1)
    store.append(asked.id, [LR])
    became = store.get(asked.id)
    assert became.spec == with_changes(job(), [Change(step=1, path="schedule.lr", value=0.2)])
    assert became.hash == became.spec.hash != asked.hash
    store.append(asked.id, [Finished(step=20, result={})])
    assert store.submit(became.spec, "me").id == asked.id
    back = store.submit(job(seed=3), "me")
    store.claim(1)
    store.append(back.id, [LR, Changed(step=1, path="schedule.lr", old=0.2, new=0.05)])
    assert (store.get(back.id).hash, store.get(back.id).pristine) == (back.hash, True)


def test_a_planned_change_is_no_change_by_hand(store: Store) -> None:
    run = store.submit(with_changes(job(), [Change(step=1, path="schedule.lr", value=0.2)]), "me")
    store.claim(1)
    store.append(run.id, [LR])
    assert (store.get(run.id).hash, store.get(run.id).pristine) == (run.hash, True)


def test_a_run_that_is_about_to_be_changed_is_no_answer(store: Store) -> None:
    run = store.submit(job(), "me")
    store.command(run.id, Command("set", {"schedule.lr": 0.2}), "me")
    assert store.submit(job(), "me").id != run.id


def test_changed_runs_of_an_earlier_kd_lab_say_so(tmp_path: Path) -> None:
    """Its store knew only that a run was changed, and kept the spec that was asked for."""
    store = Store(tmp_path, f"sqlite:///{tmp_path / 'runs.db'}")
    ids = [store.submit(job(seed=seed), "me").id for seed in range(2)]
    for run_id in ids:
        store.claim(1, run_id)
    store.append(ids[0], [LR])
    for run_id in ids:
        old = job(seed=ids.index(run_id))
        store.note(run_id, spec=old.model_dump_json(exclude={"changes"}), hash=old.hash, pristine=False)
    store.close()
    later = Store(tmp_path, f"sqlite:///{tmp_path / 'runs.db'}")
    first, second = map(later.get, ids)
    assert (len(first.spec.changes), first.pristine, first.hash == first.spec.hash) == (1, False, True)
    assert (second.spec, second.pristine) == (job(seed=1), True)
    later.close()
