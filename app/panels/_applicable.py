"""Which panels have something to say of a run; the others are left out of its page."""

from __future__ import annotations

from app import run_store
from app.panels import panels
from kdcore.jobs.rows import Run
from kdcore.runs.record import Record, gather, read_arrays

BEGINNING = 50  # events, among which the first loss point is
_known: dict[str, list[str]] = {}  # by run; for good, once it has told its first loss point


def suited(run: Run) -> list[str]:
    """Names of panels in the order of the page; more may join them until the run's first loss point."""
    if run.id in _known:
        return _known[run.id]
    record, plane = beginning(run), run_store.shape(run.spec) == (2,)
    names = [name for name, one in panels().items() if (plane or one.kind != "field") and one.suits(record)]
    if record.steps:
        _known[run.id] = names
    return names


def beginning(run: Run) -> Record:
    """Return a run's first frame, and what it told first."""
    told = [heard.event for heard in run_store.store().events(run.id, limit=BEGINNING)]
    frame = read_arrays(run.folder / "frames" / "00000000.npz")
    return gather(run.spec, told, run.folder, frame)
