"""No sequence of calls takes a run where the table of moves does not let it, and turns are fair."""

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress

import pytest
from fixture_jobs import job
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kdcore.contracts.control import Command
from kdcore.errors import BadInput
from kdcore.events import Finished
from kdcore.jobs.states import MOVES, IllegalMove, State, turns
from kdcore.jobs.store import Store

ASKS = {
    "claim": lambda store, _: store.claim(1),
    "finish": lambda store, run: store.append(run, [Finished(step=1, result={})]),
    "fail": lambda store, run: store.move(run, "failed", message="no"),
    "cancel": lambda store, run: store.command(run, Command("cancel"), "me"),
    "resume": lambda store, run: store.resume(run, "me"),
    "expire": lambda store, _: store.expire(1e12),
    "gone": lambda store, _: store.gone(1, "gone"),
    "delete": lambda store, run: store.delete(run, "me"),
    "restore": lambda store, run: store.restore(run, "me"),
}


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(asks=st.lists(st.sampled_from(sorted(ASKS)), max_size=12))
def test_only_legal_moves_happen(store: Store, asks: list[str]) -> None:
    run = store.submit(job(), "me", fresh=True)
    state: State = run.state
    for ask in asks:
        with suppress(BadInput, IllegalMove):
            ASKS[ask](store, run.id)
        now = store.get(run.id).state
        assert now == state or now in MOVES[state]
        state = now
    assert [heard.seq for heard in store.events(run.id)] == list(range(1, len(store.events(run.id)) + 1))
    if state == "queued":  # leave nothing for the next example to claim
        store.command(run.id, Command("cancel"), "me")
    store.gone(1, "gone")


@pytest.mark.parametrize("old", MOVES)
@pytest.mark.parametrize("new", MOVES)
def test_move_obeys_the_table(store: Store, old: State, new: State) -> None:
    run = store.submit(job(), "me")
    for step in {"queued": (), "running": ("running",)}.get(old, ("running", old)):
        store.move(run.id, step)
    legal = new in MOVES[old]
    with suppress(IllegalMove) if legal else pytest.raises(IllegalMove):
        store.move(run.id, new)
    assert store.get(run.id).state == (new if legal else old)


owners = st.sampled_from("abcde")


@given(st.lists(owners), st.dictionaries(owners, st.floats(0, 10)))
def test_turns_are_fair(queued: list[str], served: dict[str, float]) -> None:
    pairs = [(f"{owner}{number}", owner) for number, owner in enumerate(queued)]
    order = turns(pairs, served)
    assert sorted(order) == sorted(run for run, _ in pairs)
    for owner in set(queued):
        assert [run for run in order if run[0] == owner] == [run for run, whose in pairs if whose == owner]
    left = Counter(queued)
    for round_ in _rounds([run[0] for run in order]):
        assert set(round_) == {owner for owner in left if left[owner] > 0}
        left.subtract(round_)


def _rounds(order: list[str]) -> Iterator[list[str]]:
    """The order cut where an owner comes again."""
    round_: list[str] = []
    for owner in order:
        if owner in round_:
            yield round_
            round_ = []
        round_.append(owner)
    if round_:
        yield round_


def test_claims_follow_the_turns_of_two_hundred_waiting_runs(store: Store) -> None:
    for number in range(200):
        store.submit(job(seed=number), "greedy" if number < 180 else f"owner {number % 4}")
    order = store.waiting()
    claimed = [store.claim(1) for _ in range(24)]
    assert [run.id for run in claimed if run] == order[:24]
    assert Counter(run.owner for run in claimed[:15] if run) == Counter(
        ["greedy"] * 3 + [f"owner {n}" for n in range(4)] * 3
    )
