"""The append-only log of what a run told, and the story that remains of it after interruptions."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Row, insert, select

from kdcore.errors import BadInput
from kdcore.events import Asked, Changed, Checkpoint, Event, Finished, Started, stored
from kdcore.jobs import rows
from kdcore.jobs.states import State
from kdcore.jobs.tables import EVENTS, RUNS
from kdcore.runs.ledger import left_behind


class Heard(NamedTuple):
    """One event as it was stored."""

    seq: int  # 1, 2, 3, ... within the run
    at: float  # unix s
    event: Event


def append(connection: Connection, row: Row[Any], events: Sequence[Event]) -> None:
    """Store events of a locked, running run and what follows from them; `Finished` makes the run done."""
    now = time.time()
    bodies = [
        {"run": row.id, "seq": row.heard + place, "at": now, "body": event.model_dump_json()}
        for place, event in enumerate(events, start=1)
    ]
    connection.execute(insert(EVENTS), bodies)
    facts: dict[str, Any] = {"step": events[-1].step, "heard": row.heard + len(events)}
    if changed := [event for event in events if isinstance(event, Changed)]:
        facts |= rows.became(row, changed)
    if began := [event.steps for event in events if isinstance(event, Started)]:
        facts["steps"] = began[-1]  # a source's lead is known once the run has begun
    last = events[-1]
    if isinstance(last, Finished):
        rows.move(connection, row, "done", result=json.dumps(last.result), message=None, **facts)
    else:
        rows.change(connection, row.id, **facts)


def move(connection: Connection, row: Row[Any], state: State, home: Path, **facts: Any) -> None:
    """As `rows.move`; a run that ends early tells what it sent by then, which its process may not have told.

    Raises:
        IllegalMove: the table of moves does not allow it.
    """
    rows.move(connection, row, state, **facts)
    if row.state == "running":
        _tell_left(connection, row.id, home)


def end(connection: Connection, where: ColumnElement[bool], message: str, home: Path) -> list[rows.Run]:
    """As `rows.end`; each run tells what it sent by then."""
    ended = rows.end(connection, where, message, home)
    for run in ended:
        _tell_left(connection, run.id, home)
    return ended


def _tell_left(connection: Connection, run_id: str, home: Path) -> None:
    """Add all that a run sent to its remote teacher, unless its last event says so."""
    sent, newest = None, getattr(last(connection, run_id), "meter", None)
    with suppress(OSError, ValueError):  # books that cannot be read do not keep a run from ending
        sent = left_behind(home / "runs" / run_id)
    if sent and sent != (newest.model_copy(update={"cached": 0}) if newest else None):
        row = rows.find(connection, run_id)
        append(connection, row, [Asked(step=row.step, meter=sent)])


def read(connection: Connection, run_id: str, after: int, limit: int | None) -> list[Heard]:
    """Events of one run past `after`, at most `limit` of them."""
    query = select(EVENTS.c.seq, EVENTS.c.at, EVENTS.c.body).where(EVENTS.c.run == run_id, EVENTS.c.seq > after)
    found = connection.execute(query.order_by(EVENTS.c.seq).limit(limit))
    return [Heard(seq, at, stored(body)) for seq, at, body in found]


def last(connection: Connection, run_id: str) -> Event | None:
    """Return the newest event of one run."""
    query = select(EVENTS.c.body).where(EVENTS.c.run == run_id).order_by(EVENTS.c.seq.desc()).limit(1)
    body = connection.execute(query).scalar()
    return None if body is None else stored(body)


def amend(connection: Connection) -> None:
    """Put the changes of runs of an earlier KD Lab into their specs, which held only what was asked."""
    query = select(RUNS).where(RUNS.c.pristine.is_(False), RUNS.c.spec.notlike('%"changes":[{%'))
    for row in connection.execute(query).all():
        events = [heard.event for heard in story(read(connection, row.id, 0, None))]
        changed = [event for event in events if isinstance(event, Changed)]
        with suppress(BadInput):  # a spec that this version cannot read is left out wherever runs are listed
            rows.change(connection, row.id, **{"pristine": True, **rows.became(row, changed)})


def story(heard: Iterable[Heard]) -> list[Heard]:
    """Return what a run tells once its interruptions are left out: what an uninterrupted run would have told.

    A resumed run says `Started` again with the step of the checkpoint it went on from; everything after that
    checkpoint is told once more, so the first telling and the second `Started` drop out.
    """
    told: list[Heard] = []
    for one in heard:
        if not isinstance(one.event, Started) or not told:
            told.append(one)
        elif one.event.step == 0:
            told = [one]
        else:
            told = told[: _resumed(told, one.event.step)]
    return told


def _resumed(told: Sequence[Heard], step: int) -> int:
    """How many events stand when the run goes on from its checkpoint at `step`."""
    for place in range(len(told), 0, -1):
        event = told[place - 1].event
        if isinstance(event, Checkpoint) and event.step == step:
            return place
    return next((place for place, one in enumerate(told) if one.event.step > step), len(told))
