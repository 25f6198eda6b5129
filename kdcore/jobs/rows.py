"""A run as the store knows it, and its row in the table. Functions here work inside the caller's transaction."""

from __future__ import annotations

import json
import logging
import secrets
import socket
import time
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, Exists, Row, exists, func, insert, or_, select, update

from kdcore.errors import BadInput, unknown
from kdcore.events import Changed, kept
from kdcore.jobs.states import WORDS, State, check_move, turns
from kdcore.jobs.tables import COMMANDS, RUNS, sealed
from kdcore.runs.changes import told, with_changes
from kdcore.spec.spec import Spec, parse

LOG = logging.getLogger(__name__)
HOST = socket.gethostname()
TERMINAL = "terminal"  # owner of the runs of the command line
DEMO = "demo"  # owner of the recorded runs that come with the Lab
LOG_FILE = "worker.log"  # in a run's folder: what its workers wrote to stdout and stderr
TAIL_BYTES = 4000
LEASE_S = 10.0  # a run whose worker was not heard of for so long is lost


@dataclass(frozen=True)
class Run:
    """One run. Times are unix seconds."""

    id: str
    spec: Spec
    hash: str
    owner: str  # sealed, see `kdcore.jobs.tables`
    label: str
    state: State
    teacher_run: str | None
    created_at: float
    started_at: float | None  # of the newest attempt
    finished_at: float | None
    attempt: int
    host: str | None
    pid: int | None
    lease_until: float | None
    cancel_at: float | None
    paused: bool
    pristine: bool  # nobody changed a setting by hand during the run; what was changed stands in its spec
    step: int
    steps: int
    message: str | None  # one sentence
    traceback: str | None
    result: dict[str, float] | None
    folder: Path
    deleted_at: float | None
    recorded: bool  # brought from a folder, and read only

    @property
    def weights(self) -> Path:
        """The student's weights; they exist once the run is done."""
        return self.folder / "student.safetensors"

    @property
    def standing(self) -> str:
        """Where it stands, in a word: a pause is part of it, though it is no state of its own."""
        return "paused" if self.paused and self.state == "running" else WORDS[self.state]


@lru_cache(maxsize=4096)
def _spec(text: str) -> Spec:
    return parse(text)


def as_run(row: Row[Any], home: Path) -> Run:
    """Return the row as a record.

    Raises:
        BadInput: this version of KD Lab cannot read its spec.
    """
    facts = {name: value for name, value in row._mapping.items() if name in Run.__dataclass_fields__}
    facts["spec"] = _spec(row.spec)
    facts["result"] = kept(json.loads(row.result)) if row.result else None
    facts["folder"] = Path(row.folder) if row.folder else home / "runs" / row.id
    return Run(**facts, recorded=row.folder is not None)


def readable(found: Iterable[Row[Any]], home: Path) -> list[Run]:
    """Return the rows as records, without those whose specs this version of KD Lab cannot read; the log names them."""
    runs = []
    for row in found:
        try:
            runs.append(as_run(row, home))
        except BadInput as error:
            LOG.warning("Run %s is left out: %s", row.id, error)
    return runs


def runnable(connection: Connection, run_id: str, home: Path) -> bool:
    """Whether the spec of a waiting run can be read; one that cannot be is cancelled, and says why."""
    row = find(connection, run_id, lock=True)
    try:
        as_run(row, home)
    except BadInput as error:
        move(connection, row, "cancelled", message=str(error))
        return False
    return True


def new_id() -> str:
    """Ten random characters of base32, lower case."""
    return "".join(secrets.choice("abcdefghijklmnopqrstuvwxyz234567") for _ in range(10))


def add(connection: Connection, spec: Spec, owner: str, **facts: Any) -> str:
    """Insert a run, queued unless `facts` say otherwise, and return its id."""
    values = {"id": new_id(), "label": "", "state": "queued", "created_at": time.time(), "steps": spec.steps}
    values |= facts
    connection.execute(insert(RUNS).values(spec=spec.model_dump_json(), hash=spec.hash, owner=sealed(owner), **values))
    return str(values["id"])


def became(row: Row[Any], changed: Sequence[Changed]) -> dict[str, Any]:
    """Return the columns of a run whose settings changed: what it does is not what was asked, so its spec and hash
    say so.
    """
    spec = _spec(row.spec)
    made = told(changed)
    if all(one in spec.changes for one in made):
        return {}
    spec = with_changes(spec, made)
    return {"spec": spec.model_dump_json(), "hash": spec.hash, "pristine": not spec.changes}


def find(connection: Connection, run_id: str, *, lock: bool = False) -> Row[Any]:
    """Return the row of one run, locked until the transaction ends where asked.

    Raises:
        BadInput: there is none, with the nearest id there is.
    """
    query = select(RUNS).where(RUNS.c.id == run_id)
    row = connection.execute(query.with_for_update() if lock else query).first()
    if row is None:
        newest = select(RUNS.c.id).where(RUNS.c.deleted_at.is_(None)).order_by(RUNS.c.number.desc()).limit(20)
        raise unknown("run", run_id, connection.execute(newest).scalars())
    return row


By = str | frozenset[str]  # who asks for a change: an owner, or all those a person stands for


def owned(connection: Connection, run_id: str, by: By, what: str) -> Row[Any]:
    """Return the locked row of a run that `by` may change.

    Raises:
        BadInput: somebody else owns it.
    """
    row = find(connection, run_id, lock=True)
    if row.owner not in {sealed(owner) for owner in ([by] if isinstance(by, str) else by)}:
        raise BadInput(f"Run {run_id} belongs to somebody else, so you cannot {what} it; start your own to do so.")
    return row


def change(connection: Connection, run_id: str, **facts: Any) -> None:
    """Set columns of one run."""
    connection.execute(update(RUNS).where(RUNS.c.id == run_id).values(**facts))


def move(connection: Connection, row: Row[Any], state: State, **facts: Any) -> None:
    """Move a locked run, with what follows from the new state.

    Raises:
        IllegalMove: the table of moves does not allow it.
    """
    check_move(row.id, row.state, state)
    now = time.time()
    follows: dict[str, Any] = {"finished_at": now, "lease_until": None, "paused": False}
    if state == "queued":
        follows = {"finished_at": None, "cancel_at": None, "message": None, "traceback": None}
    elif state == "running":
        follows = {"started_at": now, "attempt": row.attempt + 1, "lease_until": now + LEASE_S, "host": HOST}
    change(connection, row.id, state=state, **{**follows, **facts})


def start(connection: Connection, run_id: str, pid: int) -> None:
    """Make a run that waits, or that stopped unfinished, the work of process `pid`."""
    row = find(connection, run_id, lock=True)
    if row.state != "queued":
        move(connection, row, "queued")
        row = find(connection, run_id)
    move(connection, row, "running", pid=pid)


def end(connection: Connection, where: ColumnElement[bool], message: str, home: Path) -> list[Run]:
    """Call running runs that nobody works on any more lost, or cancelled where that was asked; keep their last
    words.
    """
    rows = connection.execute(select(RUNS).where(RUNS.c.state == "running", where).with_for_update()).all()
    for row in rows:
        if row.cancel_at:
            move(connection, row, "cancelled", message="Stopped.")
        else:
            move(connection, row, "lost", message=message, traceback=_last_words(home / "runs" / row.id / LOG_FILE))
    ids = [row.id for row in rows]
    return readable(connection.execute(select(RUNS).where(RUNS.c.id.in_(ids))), home)


def _last_words(path: Path) -> str | None:
    """Return the end of what a worker wrote to its run's log; None when there is nothing."""
    with suppress(OSError), path.open("rb") as log:
        log.seek(max(0, path.stat().st_size - TAIL_BYTES))
        return log.read().decode(errors="replace").strip() or None
    return None


def waiting(connection: Connection) -> list[str]:
    """Ids of the queued runs in the order they will be run."""
    queued = select(RUNS.c.id, RUNS.c.owner).where(RUNS.c.state == "queued").order_by(RUNS.c.number)
    served = select(RUNS.c.owner, func.max(RUNS.c.started_at)).where(RUNS.c.started_at.isnot(None))
    rows = [(row.id, row.owner) for row in connection.execute(queued)]
    return turns(rows, {row[0]: row[1] for row in connection.execute(served.group_by(RUNS.c.owner))}) if rows else []


def twin(connection: Connection, spec: Spec, owners: Collection[str]) -> str | None:
    """Return a run of the owners, of the same spec, that waits, runs or is done, and which nobody changed or
    stopped.
    """
    query = select(RUNS.c.id).where(
        RUNS.c.hash == spec.hash,
        RUNS.c.owner.in_(sorted(map(sealed, owners))),
        RUNS.c.state.in_(("queued", "running", "done")),
        RUNS.c.cancel_at.is_(None),
        RUNS.c.deleted_at.is_(None),
        RUNS.c.folder.is_(None),  # what was brought from elsewhere was not done here
        or_(RUNS.c.state == "done", ~_to_be_changed()),
    )
    return connection.execute(query.order_by(RUNS.c.number.desc())).scalar()


def _to_be_changed() -> Exists:
    """Whether somebody asked to change a setting, so that the run may yet become another."""
    return exists().where(COMMANDS.c.run == RUNS.c.id, COMMANDS.c.name == "set")


def adoptable(connection: Connection, spec: Spec, owner: str) -> str | None:
    """Return a run of `spec` to wait for (it runs, whoever owns it) or to take over (the owner's, queued or
    unfinished).
    """
    same = select(RUNS).where(RUNS.c.hash == spec.hash, RUNS.c.deleted_at.is_(None))
    rows = connection.execute(same.order_by(RUNS.c.number.desc())).all()
    running = (row.id for row in rows if row.state == "running" and not row.cancel_at)
    own = (
        row.id for row in rows if row.owner == sealed(owner) and row.state in ("queued", "lost", "failed", "cancelled")
    )
    return next(running, None) or next(own, None)


def mine(row: Row[Any], attempt: int | None) -> bool:
    """Whether the run still runs, and in the attempt the caller works on (any when None)."""
    return bool(row.state == "running" and attempt in (None, row.attempt))
