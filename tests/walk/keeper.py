"""Puts a store back as it was, after a press that started, stopped or deleted a run."""

from __future__ import annotations

from kdcore.contracts.control import Command
from kdcore.jobs.rows import Run
from kdcore.jobs.states import RESUMABLE
from kdcore.jobs.store import Store


class Keeper:
    """Knows the runs of a store as they were.

    Args:
        store: the store, or None where pages have none.
    """

    def __init__(self, store: Store | None) -> None:
        self.store = store
        self.before = self._runs()

    def _runs(self) -> dict[str, Run]:
        if self.store is None:
            return {}
        return {run.id: run for run in (*self.store.runs(), *self.store.runs(deleted=True))}

    def mend(self) -> bool:
        """Undo what changed; whether anything did."""
        changed = [(run, self.before.get(run.id)) for run in self._runs().values()]
        changed = [(run, old) for run, old in changed if old is None or _facts(run) != _facts(old)]
        for run, old in changed:
            self._undo(run, old)
        if changed:
            self.before = self._runs()  # a run that was resumed ends as cancelled, not as it had ended before
        return bool(changed)

    def _undo(self, run: Run, old: Run | None) -> None:
        assert self.store
        if old is None:
            self.store.delete(run.id, run.owner)  # and not for good, as the page may still show it
            return
        if run.deleted_at and not old.deleted_at:
            self.store.restore(run.id, run.owner)
        if old.deleted_at and not run.deleted_at:
            self.store.delete(run.id, run.owner)
        if run.state == "cancelled" and old.state == "queued":
            self.store.resume(run.id, run.owner)
        if run.state == "queued" and old.state in RESUMABLE:
            self.store.command(run.id, Command("cancel"), run.owner)


def _facts(run: Run) -> tuple[str, bool, bool]:
    return run.state, run.deleted_at is None, run.paused
