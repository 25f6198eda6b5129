"""The store of runs: the one thing that both storeys share, and the only writer of the database.

Every call is one transaction, so a process that is killed leaves either all of it or nothing. Whatever the database or
the disk refuses comes out as `BadInput` with one sentence.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from sqlalchemy import Connection, and_, delete, func, insert, or_, select, update

from kdcore.contracts.control import Command
from kdcore.errors import BadInput
from kdcore.events import Event, Finished
from kdcore.jobs import exchange, importing, log, rows, wishes
from kdcore.jobs.log import Heard
from kdcore.jobs.rows import LEASE_S, By, Run
from kdcore.jobs.states import ACTIVE, RESUMABLE, WORDS, IllegalMove, State
from kdcore.jobs.tables import COMMANDS, EVENTS, RUNS, connect, lock_all, name_of, one_sentence, prepare
from kdcore.spec import catalogue
from kdcore.spec.checks import check
from kdcore.spec.spec import Spec


class Store:
    """Runs, their events and the wishes about them; safe to share between threads.

    Args:
        home: the folder of runs; `kdcore.spec.catalogue.home()` when None.
        url: a SQLAlchemy URL; KDLAB_DATABASE, or SQLite inside `home`, when None.

    Raises:
        BadInput: the database cannot be reached, is damaged, or was made by a later KD Lab.
    """

    def __init__(self, home: Path | None = None, url: str | None = None) -> None:
        self.home = (home or catalogue.home()).resolve()
        self.url = url or os.environ.get("KDLAB_DATABASE") or f"sqlite:///{self.home / 'runs.db'}"
        self.news = threading.Event()  # set when this process queued a run or asked something of one
        self._engine = connect(self.url)
        self._writing = self._engine.execution_options(writes=True)
        self._place = name_of(self._engine.url)
        with one_sentence(self._place, self.url):
            self.home.mkdir(parents=True, exist_ok=True)
            prepare(self._engine)
        with self._write() as connection:
            log.amend(connection)

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()

    # Asking ---------------------------------------------------------------------------------------------------------

    def get(self, run_id: str) -> Run:
        """One run.

        Raises:
            BadInput: there is none of that id.
        """
        with self._read() as connection:
            return rows.as_run(rows.find(connection, run_id), self.home)

    def runs(self, *, deleted: bool = False, states: Collection[State] | None = None) -> list[Run]:
        """Return runs, newest first: the deleted ones, or the others. One that cannot be read is left out."""
        query = select(RUNS).where(RUNS.c.deleted_at.isnot(None) if deleted else RUNS.c.deleted_at.is_(None))
        if states is not None:
            query = query.where(RUNS.c.state.in_(states))
        with self._read() as connection:
            found = connection.execute(query.order_by(RUNS.c.created_at.desc(), RUNS.c.number.desc()))
            return rows.readable(found, self.home)

    def waiting(self) -> list[str]:
        """Ids of the queued runs, in the order they will be run."""
        with self._read() as connection:
            return rows.waiting(connection)

    def events(self, run_id: str, after: int = 0, limit: int | None = 500) -> list[Heard]:
        """Return what a run told after its `after`-th event, as it came; see `story`."""
        with self._read() as connection:
            return log.read(connection, run_id, after, limit)

    def story(self, run_id: str) -> list[Event]:
        """Return what a run told, with interruptions left out: equal to what an uninterrupted run tells."""
        return [heard.event for heard in log.story(self.events(run_id, limit=None))]

    def ending(self, run_id: str) -> Finished | None:
        """How a run ended; None where it has not, or not well."""
        with self._read() as connection:
            last = log.last(connection, run_id)
        return last if isinstance(last, Finished) else None

    def obeyed_at(self, run_ids: Collection[str], names: Collection[str]) -> float:
        """When one of the runs last took up one of the named wishes, unix s; 0.0 where none ever did."""
        wishes_ = and_(COMMANDS.c.run.in_(run_ids), COMMANDS.c.name.in_(names))
        with self._read() as connection:
            return float(connection.execute(select(func.max(COMMANDS.c.taken_at)).where(wishes_)).scalar() or 0.0)

    def finished_teacher(self, hash: str) -> Run | None:
        """Return a done run of that hash that has its weights, whoever owns it; never one from elsewhere."""
        ours = or_(RUNS.c.folder.is_(None), RUNS.c.owner == rows.DEMO)
        same = select(RUNS).where(RUNS.c.hash == hash, RUNS.c.state == "done", ours)
        with self._read() as connection:
            found = connection.execute(same.where(RUNS.c.deleted_at.is_(None)).order_by(RUNS.c.number.desc())).all()
        return next((run for run in rows.readable(found, self.home) if run.weights.exists()), None)

    # What people do -------------------------------------------------------------------------------------------------

    def submit(
        self, spec: Spec, owner: str, *, label: str = "", fresh: bool = False, also: frozenset[str] = frozenset()
    ) -> Run:
        """Queue a run, or return the owner's own run of that spec that waits, runs or is done, unless `fresh`.

        Args:
            spec: what to run.
            owner: of the new run.
            label: of the new run.
            fresh: whether a new run is wanted in any case.
            also: other owners whose run will do.

        Raises:
            BadInput: the spec cannot be run here.
        """
        check(spec)
        with self._write() as connection:
            lock_all(connection)
            found = None if fresh else rows.twin(connection, spec, {owner, *also})
            run_id = found or rows.add(connection, spec, owner, label=label)
        self.news.set()
        return self.get(run_id)

    def command(self, run_id: str, command: Command, by: By) -> None:
        """Ask something of a run that waits or runs; "cancel" of a waiting run takes effect at once.

        Raises:
            BadInput: the run is somebody else's, or over, or the wish makes no sense.
        """
        with self._write() as connection:
            row = rows.owned(connection, run_id, by, "control")
            if row.state not in ACTIVE:
                raise BadInput(
                    f"Run {run_id} is {WORDS[row.state]}, so nothing can be asked of it; resume it or start a new one."
                )
            value = wishes.checked(command, rows.as_run(row, self.home).spec)
            if command.name == "cancel" and row.state == "queued":
                rows.move(connection, row, "cancelled", message="Stopped before it began.")
                return
            wish = {"name": command.name, "value": json.dumps(value)}
            connection.execute(insert(COMMANDS).values(run=run_id, owner=row.owner, at=time.time(), **wish))
            facts = wishes.FACTS.get(command.name, dict)()
            if facts:
                rows.change(connection, run_id, **facts)
        self.news.set()

    def resume(self, run_id: str, by: By) -> Run:
        """Queue an interrupted, failed or stopped run again; it goes on from its last checkpoint.

        Wishes that nobody has heard are forgotten, but for settings: those hold for the run, not for an attempt.

        Raises:
            BadInput: the run is somebody else's, deleted, or in another state.
        """
        with self._write() as connection:
            row = rows.owned(connection, run_id, by, "resume")
            if row.deleted_at or row.state not in RESUMABLE:
                state = "deleted" if row.deleted_at else WORDS[row.state]
                *some, last = (words for state, words in WORDS.items() if state in RESUMABLE)
                raise BadInput(
                    f"Run {run_id} is {state}, but only runs that are {', '.join(some)} or {last} can be resumed."
                )
            connection.execute(
                update(COMMANDS)
                .where(COMMANDS.c.run == run_id, COMMANDS.c.taken_at.is_(None), COMMANDS.c.name != "set")
                .values(taken_at=time.time())
            )
            rows.move(connection, row, "queued")
        self.news.set()
        return self.get(run_id)

    def delete(self, run_id: str, by: By) -> None:
        """Put a run away; `restore` brings it back. A waiting run is cancelled.

        Raises:
            BadInput: the run is somebody else's, or still runs.
        """
        with self._write() as connection:
            row = rows.owned(connection, run_id, by, "delete")
            if row.state == "running":
                raise BadInput(f"Run {run_id} is still running; stop it before you delete it.")
            if row.state == "queued":
                rows.move(connection, row, "cancelled", message="Stopped before it began.")
            rows.change(connection, run_id, deleted_at=row.deleted_at or time.time())

    def restore(self, run_id: str, by: By) -> Run:
        """Undo `delete`."""
        with self._write() as connection:
            rows.owned(connection, run_id, by, "restore")
            rows.change(connection, run_id, deleted_at=None)
        return self.get(run_id)

    def purge(self, older_than_s: float) -> list[str]:
        """Forget runs that were deleted longer ago than that, files and all; their ids."""
        with ExitStack() as kept, one_sentence(self._place, self.url):
            with self._write() as connection:
                lock_all(connection)
                old = RUNS.c.deleted_at < time.time() - older_than_s
                gone = rows.readable(connection.execute(select(RUNS).where(old)), self.home)
                ids = [run.id for run in gone]
                for table in (EVENTS, COMMANDS):
                    connection.execute(delete(table).where(table.c.run.in_(ids)))
                connection.execute(delete(RUNS).where(RUNS.c.id.in_(ids)))
                ours = [run.folder for run in gone if not run.recorded or self._keeps(run.folder)]
                doomed = [importing.move_aside(folder, kept) for folder in ours if folder.exists()]
            kept.pop_all()  # they are forgotten
            for folder in doomed:
                with suppress(FileNotFoundError):  # an import clears what others left
                    shutil.rmtree(folder)
        return ids

    def _keeps(self, folder: Path) -> bool:
        """Whether it is a record that was copied into the home."""
        return folder.parent == self.home / importing.FOLDER

    # What workers do ------------------------------------------------------------------------------------------------

    def claim(self, pid: int, run_id: str | None = None) -> Run | None:
        """Make process `pid` run the queued run whose turn it is (or `run_id`, if it still waits)."""
        with self._write() as connection:
            lock_all(connection)
            for chosen in rows.waiting(connection):
                if run_id in (None, chosen) and rows.runnable(connection, chosen, self.home):
                    rows.start(connection, chosen, pid)
                    return rows.as_run(rows.find(connection, chosen), self.home)
        return None

    def adopt(self, spec: Spec, owner: str, label: str = "Teacher") -> Run:
        """Return the run of a teacher or a start: done, being run elsewhere, or from now on run by this process for
        `owner`.

        The caller has to do it when the run is running and its `pid` and `host` are this process's own.
        """
        with self._write() as connection:
            lock_all(connection)
            done = self.finished_teacher(spec.hash)
            run_id = done.id if done else rows.adoptable(connection, spec, owner)
            run_id = run_id or rows.add(connection, spec, owner, label=label)
            if rows.find(connection, run_id).state not in ("done", "running"):
                rows.start(connection, run_id, os.getpid())
        return self.get(run_id)

    def append(self, run_id: str, events: Sequence[Event], attempt: int | None = None) -> None:
        """Add events to a running run's log; a last `Finished` makes it done.

        Raises:
            IllegalMove: the run no longer runs, or (where `attempt` is given) runs in another attempt.
        """
        if events:
            with self._write() as connection:
                log.append(connection, self._held(connection, run_id, attempt), events)

    def take_commands(self, run_id: str, leave: Collection[str] = ()) -> list[Command]:
        """Wishes about a run, in the order they were made; each is handed out once, those named in `leave` later."""
        new = and_(COMMANDS.c.run == run_id, COMMANDS.c.taken_at.is_(None), COMMANDS.c.name.not_in(leave))
        with self._read() as connection:
            if connection.execute(select(COMMANDS.c.number).where(new).limit(1)).first() is None:
                return []
        with self._write() as connection:
            rows.find(connection, run_id, lock=True)
            found = connection.execute(select(COMMANDS).where(new).order_by(COMMANDS.c.number)).all()
            connection.execute(update(COMMANDS).where(new).values(taken_at=time.time()))
        return [Command(row.name, json.loads(row.value)) for row in found]

    def beat(self, run_id: str, lease_s: float = LEASE_S, attempt: int | None = None) -> bool:
        """Say that the run is still worked on; False when it is no longer the caller's."""
        held = and_(RUNS.c.id == run_id, RUNS.c.state == "running")
        if attempt is not None:
            held = and_(held, RUNS.c.attempt == attempt)
        with self._write() as connection:
            result = connection.execute(update(RUNS).where(held).values(lease_until=time.time() + lease_s))
            return bool(result.rowcount)

    def move(self, run_id: str, state: State, *, attempt: int | None = None, **facts: Any) -> None:
        """Put a run in another state and set columns such as `message` and `traceback`.

        Raises:
            IllegalMove: the table of moves does not allow it, or another attempt runs.
        """
        with self._write() as connection:
            row = self._held(connection, run_id, attempt) if attempt else rows.find(connection, run_id, lock=True)
            log.move(connection, row, state, self.home, **facts)

    def note(self, run_id: str, **facts: Any) -> None:
        """Set columns that are no state, such as `message` or `teacher_run`."""
        with self._write() as connection:
            rows.change(connection, run_id, **facts)

    def awaited(self, run_id: str) -> bool:
        """Whether some run that is not over needs this one first, as its teacher or its start."""
        teacher_hash = self.get(run_id).hash
        for run in self.runs(states=ACTIVE):
            teachers = [run.spec.teacher, run.spec.start, *run.spec.mentors]
            if run.cancel_at is None and any(spec and spec.hash == teacher_hash for spec in teachers):
                return True
        return False

    # What the supervisor does ---------------------------------------------------------------------------------------

    def expire(self, now: float | None = None) -> list[Run]:
        """Call running runs whose worker was not heard of in time lost (or cancelled, where that was asked)."""
        late = RUNS.c.lease_until < (time.time() if now is None else now)
        return self._end(late, "Its worker stopped answering; resume goes on from the last checkpoint.")

    def gone(self, pid: int, message: str) -> list[Run]:
        """Call the runs of a process of this machine that ended lost (or cancelled, where that was asked)."""
        return self._end(and_(RUNS.c.pid == pid, RUNS.c.host == rows.HOST), message)

    # Recorded runs --------------------------------------------------------------------------------------------------

    def bring(self, folder: Path, owner: str = rows.DEMO) -> Run:
        """Show a recorded run's folder as a done run that is read only; again is no change.

        Raises:
            BadInput: the folder holds no recorded run, or a damaged one.
        """
        recorded = exchange.load(folder)
        events = exchange.bodies(recorded)
        with self._write() as connection:
            lock_all(connection)
            exchange.bring(connection, recorded, owner, events)
        return self.get(recorded.id)

    def take(self, source: Path | IO[bytes], owner: str) -> Run:
        """Copy somebody's record into the home and show it as `bring` does; one that is here and whole stays as it is.

        Args:
            source: a record's folder, or a zip of one.
            owner: who may put it away again.

        Raises:
            BadInput: it is no record, damaged or too large, or a run of that id was made here or deleted.
        """
        with importing.taken(source, self.home) as (found, place):
            events = exchange.bodies(found)
            with self._read() as connection:
                before = exchange.known(connection, found)
            harmed = before is not None and not importing.whole(before)
            with self._write() as connection:
                lock_all(connection)
                if exchange.known(connection, found) is None or harmed:
                    exchange.bring(connection, place(), owner, events)
        return self.get(found.id)

    def export(self, run_id: str, destination: Path, real: bool = False) -> Path:
        """Write a run's folder as a record that `bring` reads, without checkpoints; the folder written.

        Args:
            real: whether it may hold the rows of an edge that asks a teacher behind a wall.

        Raises:
            BadInput: the destination exists already or cannot be written.
        """
        told = log.story(self.events(run_id, limit=None))
        return exchange.save(self.get(run_id), told, destination, real)

    # Transactions ---------------------------------------------------------------------------------------------------

    def _end(self, where: Any, message: str) -> list[Run]:
        with self._read() as connection:  # most ticks find nothing, and then nobody is held up
            before = connection.execute(select(RUNS.c.id).where(RUNS.c.state == "running", where)).first()
        if before is None:
            return []
        with self._write() as connection:
            return log.end(connection, where, message, self.home)

    def _held(self, connection: Connection, run_id: str, attempt: int | None) -> Any:
        row = rows.find(connection, run_id, lock=True)
        if not rows.mine(row, attempt):
            raise IllegalMove(f"Run {run_id} is {row.state} in attempt {row.attempt}; this worker no longer holds it.")
        return row

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        with one_sentence(self._place, self.url), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        with one_sentence(self._place, self.url), self._writing.begin() as connection:
            yield connection
