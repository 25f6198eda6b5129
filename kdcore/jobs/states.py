"""The six states of a run, the one table of legal moves between them, and whose turn it is."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Literal

State = Literal["queued", "running", "done", "failed", "cancelled", "lost"]
MOVES: dict[State, frozenset[State]] = {
    "queued": frozenset({"running", "cancelled"}),
    "running": frozenset({"done", "failed", "cancelled", "lost"}),
    "done": frozenset(),
    "failed": frozenset({"queued"}),
    "cancelled": frozenset({"queued"}),
    "lost": frozenset({"queued"}),
}
WORDS: dict[State, str] = {  # as people read them
    "queued": "waiting",
    "running": "running",
    "done": "done",
    "failed": "failed",
    "cancelled": "stopped",
    "lost": "interrupted",
}
ACTIVE: frozenset[State] = frozenset({"queued", "running"})
RESUMABLE: frozenset[State] = frozenset(state for state, targets in MOVES.items() if "queued" in targets)


class IllegalMove(RuntimeError):
    """A run was to go where the table does not let it; the caller no longer holds the run."""


def check_move(run_id: str, old: State, new: State) -> None:
    """Pass when the table allows it.

    Raises:
        IllegalMove: it does not.
    """
    if new not in MOVES[old]:
        raise IllegalMove(f"Run {run_id} is {old} and cannot become {new}.")


def turns(queued: Iterable[tuple[str, str]], served: Mapping[str, float]) -> list[str]:
    """Ids in the order they will be run: owners take turns, the one served longest ago first.

    Args:
        queued: (id, owner), oldest first.
        served: when each owner last had a run started, unix s; absent is never.
    """
    lines: dict[str, deque[str]] = {}
    for run_id, owner in queued:
        lines.setdefault(owner, deque()).append(run_id)
    round_ = deque(sorted(lines, key=lambda owner: served.get(owner, 0.0)))
    order = []
    while round_:
        owner = round_.popleft()
        order.append(lines[owner].popleft())
        if lines[owner]:
            round_.append(owner)
    return order
