"""What the events of a recorded run may be: what every run of ours tells, stated whole.

Others wrote a record, and pages read it as they read a run made here: they divide by its steps, look up its rows and
number its classes. So a record that tells another story is refused where it is read. A run may have stopped at step 0,
or have measured what is no number; pages know both.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from kdcore.errors import shortened
from kdcore.events import Evaluated, Event, Finished, Frame, Started, Step
from kdcore.spec.spec import Spec

ROOM = 4_000  # events that people cause: pauses, single steps, stops and changes
MOST_NAMED = 50  # terms, notes or losses of a source in one event; a method has ten at most
MOST_LISTED = 10_000  # classes, or operations of a GPU
SPLITS = ("train", "val", "test")
SHARES = ("cycle", "argmax_inverse", "confidence")  # notes of frames
COPIES: dict[str, float] = {  # the copies test's numbers, which stand there together, and the most that each can be
    **dict.fromkeys(("copies_judged", "copies_held", "copies_matched", "copies_closer"), 2.0**53),
    **dict.fromkeys(("copies_closer_p", "copies_p", "nearer_local"), 1.0),
}
FURTHER: dict[str, float] = {  # those that are absent where they were not found, or from runs of before
    **dict.fromkeys(("copies_finds", "copies_finds_exact"), 1.0),
    **dict.fromkeys(("copies_local", "copies_nearest", "copies_twins", "copies_references"), 2.0**53),
}


def most(spec: Spec) -> int:
    """How many events a run of a spec tells at most, those that people cause among them."""
    watch, steps = spec.watch, spec.steps
    asked = points = min(watch.points, steps) + 1  # the lead's end is a point, too
    due = sum(min(count, steps) + 2 for count in (watch.evaluations, watch.frames, watch.checkpoints))
    return 2 + points + asked + due + len(spec.changes) + ROOM


def check_size(raw: Mapping[str, Any]) -> None:
    """Pass an event, not yet validated, that names no more things than one of a run.

    Raises:
        ValueError: it names more.
    """
    for name, value in raw.items():
        if name == "result" or not isinstance(value, dict | list):  # that has a bound of its own
            continue
        limit = MOST_NAMED if isinstance(value, dict) else MOST_LISTED
        if len(value) > limit:
            raise ValueError(f"{shortened(name, 40)} holds {len(value):,} things, and at most {limit:,} are read")


def check(spec: Spec, told: Sequence[Event]) -> None:
    """Pass what a finished run of a spec tells.

    Raises:
        ValueError: no run tells it.
    """
    if not told or not isinstance(told[0], Started) or told[0].step:
        raise ValueError("its first event is not 'started' at step 0")
    if not isinstance(told[-1], Finished):
        raise ValueError("its last event is not 'finished'")
    _check_began(spec, told[0])
    _check_course(told[0], told[-1], told[1:-1])
    for place, event in enumerate(told, start=1):
        for fault in _faults(event):
            raise ValueError(f"event {place} {fault}")


def _check_began(spec: Spec, began: Started) -> None:
    if began.steps != spec.steps or began.lead > began.steps:
        raise ValueError(f"it tells of {began.steps:,} steps ({began.lead:,} of lead), its settings of {spec.steps:,}")
    if len(began.classes) < 2:
        raise ValueError(f"it tells of {len(began.classes)} classes, and there are two at least")
    if absent := [name for name in SPLITS if name not in began.rows]:
        raise ValueError(f"it does not tell how many rows {absent[0]!r} has")
    if not began.rows["train"]:
        raise ValueError("it tells of no training rows")


def _check_course(began: Started, ended: Finished, between: Sequence[Event]) -> None:
    """Pass steps that never go back, and loss points each after the one before, up to the last step."""
    if any(isinstance(event, Started | Finished) for event in between):
        raise ValueError("it begins or ends more than once")
    if ended.step != began.steps and not (ended.spent and ended.step < began.steps):
        raise ValueError(f"it ends at step {ended.step:,} of {began.steps:,}")
    _check_ascending([0, *(event.step for event in between), ended.step])
    points = [0, *(event.step for event in between if isinstance(event, Step))]
    if (idle := next((one for before, one in pairwise(points) if one == before), None)) is not None:
        raise ValueError(f"it tells of a loss at step {idle:,} that no update led to")


def _check_ascending(steps: Iterable[int]) -> None:
    for before, one in pairwise(steps):
        if one < before:
            raise ValueError(f"it goes back from step {before:,} to {one:,}")


def _faults(event: Event) -> Iterator[str]:
    """Yield what no run measures."""
    if isinstance(event, Evaluated):
        scores = (event.student, *([event.teacher] if event.teacher else []))
        yield from _off("accuracy", (score.accuracy for score in scores), 1.0)
        yield from _off("ece", (_finite(score.ece) for score in scores), 1.001)
        yield from _off("nll", (_finite(score.nll + 0.01) for score in scores), 1e39)
        yield from _off("agreement", [event.agreement], 1.0)
    elif isinstance(event, Step):
        yield from _off("train_accuracy", [event.train_accuracy], 1.0)
    elif isinstance(event, Frame):
        yield from _misnoted(event.notes)


def _off(name: str, values: Iterable[float | None], top: float) -> Iterator[str]:
    """Yield that one of the values is not between 0 and `top`; one that is None was not measured."""
    if any(value is not None and not 0.0 <= value <= top for value in values):
        yield f"tells of {name} that is not between 0 and {top:,.0f}"


def _misnoted(notes: Mapping[str, float]) -> Iterator[str]:
    """Yield what is wrong with the numbers of a frame: shares, counts, and the copies test as a whole."""
    for name in SHARES:
        yield from _off(name, [_finite(notes.get(name))], 1.0)
    for name in notes:
        if name.endswith("_rows"):
            yield from _off(name, [notes[name]], 2.0**53)
    for name, top in (COPIES | FURTHER).items():
        yield from _off(name, [notes.get(name)], top)
    if "copies_judged" in notes:
        yield from _unsound(notes)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _unsound(notes: Mapping[str, float]) -> Iterator[str]:
    """Yield what does not fit together in the numbers of a copies test; all of them are between 0 and their most."""
    if absent := [name for name in COPIES if name not in notes]:
        yield f"tells of copies_judged without {absent[0]}"
    elif not notes["copies_judged"] >= 1 or not notes["copies_held"] >= 1:
        yield "tells of a copies test of no images"
    elif max(notes["copies_matched"], notes["copies_closer"]) > notes["copies_judged"]:
        yield "tells of more copies than images"
    if notes.get("copies_twins") and "copies_references" not in notes:
        yield "tells of copies_twins without copies_references"
