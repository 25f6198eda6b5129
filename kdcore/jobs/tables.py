"""The tables of the store and the engine that reaches them: SQLite by default, any SQLAlchemy URL otherwise.

A transaction that writes takes its lock when it begins, so nothing that was read inside it can have changed. On SQLite
that is BEGIN IMMEDIATE; elsewhere the statements that say FOR UPDATE do it.
"""

from __future__ import annotations

import hashlib
import os
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus, unquote

from sqlalchemy import (
    URL,
    Boolean,
    Column,
    Connection,
    Engine,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    event,
    insert,
    make_url,
    select,
    update,
)
from sqlalchemy.exc import DatabaseError, DataError, IntegrityError, ProgrammingError

from kdcore.errors import BadInput, gist
from kdcore.untrusted import parsing

VERSION = 2  # 1 held the names of browsers in clear
METADATA = MetaData()
BROWSER = re.compile(r"[0-9a-f]{32}")  # the name of a browser, as its cookie holds it
OWN_FILE = 0o600

LEDGER = Table(  # one row: the version, and the lock of transactions that look at all runs
    "ledger",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("version", Integer, nullable=False),
)
RUNS = Table(
    "run",
    METADATA,
    Column("number", Integer, primary_key=True),  # order of submission
    Column("id", String(40), nullable=False, unique=True),
    Column("hash", String(16), nullable=False),
    Column("owner", String(200), nullable=False),
    Column("label", Text, nullable=False),
    Column("spec", Text, nullable=False),
    Column("state", String(10), nullable=False),
    Column("teacher_run", String(40)),
    Column("created_at", Float, nullable=False),
    Column("started_at", Float),
    Column("finished_at", Float),
    Column("attempt", Integer, nullable=False, default=0),
    Column("host", Text),
    Column("pid", Integer),
    Column("lease_until", Float),
    Column("cancel_at", Float),  # when somebody asked
    Column("paused", Boolean, nullable=False, default=False),
    Column("pristine", Boolean, nullable=False, default=True),
    Column("step", Integer, nullable=False, default=0),
    Column("steps", Integer, nullable=False),
    Column("heard", Integer, nullable=False, default=0),  # events stored
    Column("message", Text),
    Column("traceback", Text),
    Column("result", Text),
    Column("folder", Text),  # of a brought run; otherwise it follows from the id
    Column("deleted_at", Float),
    Index("run_by_hash", "hash"),
    Index("run_by_state", "state"),
)
EVENTS = Table(
    "event",
    METADATA,
    Column("run", String(40), ForeignKey("run.id"), primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at", Float, nullable=False),
    Column("body", Text, nullable=False),
)
COMMANDS = Table(
    "command",
    METADATA,
    Column("number", Integer, primary_key=True),
    Column("run", String(40), ForeignKey("run.id"), nullable=False),
    Column("owner", String(200), nullable=False),
    Column("at", Float, nullable=False),
    Column("name", String(10), nullable=False),
    Column("value", Text, nullable=False),
    Column("taken_at", Float),
    Index("command_by_run", "run", "taken_at"),
)


def connect(url: str) -> Engine:
    """Return an engine whose transactions behave alike on every database.

    Raises:
        BadInput: the URL cannot be used.
    """
    with (
        _hiding(url),
        parsing("The database URL cannot be used", "give KDLAB_DATABASE one such as sqlite:////path/runs.db"),
    ):
        address = make_url(url)
        engine = create_engine(address, pool_pre_ping=address.get_backend_name() != "sqlite")
    if engine.dialect.name == "sqlite":
        _tame_sqlite(engine)
    return engine


def _keep_private(file: str | None) -> None:
    """Let nobody else read a database, and what SQLite writes beside it, which gets the same mode."""
    if not file or file == ":memory:" or file.startswith("file:"):
        return
    # Only a file that is not there yet: whoever closes one drops all locks that SQLite holds on it in this process.
    with suppress(OSError):  # who may not hears of it when it is opened
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_RDONLY, OWN_FILE))
    for end in ("", "-wal", "-shm"):
        with suppress(OSError):
            Path(f"{file}{end}").chmod(OWN_FILE)


def name_of(address: URL) -> str:
    """Return the database as a sentence may name it: its file, or its URL without the password and what is set in
    it.
    """
    is_file = address.get_backend_name() == "sqlite" and address.database
    return str(address.database) if is_file else address.set(query={}).render_as_string(hide_password=True)


def secrets_of(url: str) -> list[str]:
    """Return what of a URL nobody is to see, as it may be quoted: its password, the values set in it, itself."""
    found = {url}
    with suppress(BadInput), parsing("The database URL", "mend it"):
        address = make_url(url)
        for value in (address.password, *address.query.values()):
            texts = [str(value)] if value and not isinstance(value, tuple) else list(value or ())
            found |= {said for text in texts for said in (text, quote(text), quote_plus(text))}
    head, at, _ = url.partition("://")[2].rpartition("@")  # where it is no URL at all
    found |= {head.partition(":")[2], unquote(head.partition(":")[2])} if at else set()
    return sorted(filter(None, found), key=len, reverse=True)


def hidden(text: str, url: str) -> str:
    """Return a text without what of a database's URL nobody is to see."""
    for secret in secrets_of(url):
        text = text.replace(secret, "***")
    return text


@contextmanager
def _hiding(url: str) -> Iterator[None]:
    """Let no error that quotes the secrets of a URL pass, neither itself nor as the cause of another."""
    try:
        yield
    except BadInput as error:
        raise BadInput(hidden(str(error), url)) from None


def prepare(engine: Engine) -> None:
    """Make the tables where they are absent.

    Raises:
        BadInput: they were made by a later KD Lab.
    """
    if engine.dialect.name == "sqlite":
        _keep_private(engine.url.database)
    with engine.execution_options(writes=True).begin() as connection:
        METADATA.create_all(connection)
        version = connection.execute(select(LEDGER.c.version)).scalar()
        if version is None:
            connection.execute(insert(LEDGER).values(id=1, version=VERSION))
        elif version > VERSION:
            raise BadInput(
                f"The run store was made by a later KD Lab (version {version}, but this one reads up to {VERSION}); "
                "update KD Lab, or set KDLAB_HOME to another folder."
            )
        elif version < VERSION:
            _seal(connection)
    if version == 1 and engine.dialect.name == "sqlite":
        with engine.connect() as connection:  # what was there before lies in the log until then
            connection.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def sealed(owner: str) -> str:
    """Return an owner as the store names it: the name of a browser is a key to its runs, so only its digest is kept.

    Such a name is 128 random bits, which nobody finds again from a digest. Others, and what is sealed, stay.
    """
    return f"sha256:{hashlib.sha256(owner.encode()).hexdigest()}" if BROWSER.fullmatch(owner) else owner


def _seal(connection: Connection) -> None:
    """Seal the owners of a store of version 1, and leave nothing of them in its free pages."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA secure_delete = ON")
    lock_all(connection)
    for table in (RUNS, COMMANDS):
        for owner in connection.execute(select(table.c.owner).distinct()).scalars().all():
            connection.execute(update(table).where(table.c.owner == owner).values(owner=sealed(owner)))
    connection.execute(update(LEDGER).values(version=VERSION))


def lock_all(connection: Connection) -> None:
    """Let nobody else submit, claim or adopt until this transaction ends."""
    connection.execute(select(LEDGER.c.id).with_for_update())


@contextmanager
def one_sentence(place: str, url: str = "") -> Iterator[None]:
    """Turn what a damaged file, a full disk or an absent server raises into a sentence about `place`.

    Drivers quote what they were given, so where that is more than a file, their own errors go no further.
    """
    try:
        yield
    except (IntegrityError, ProgrammingError, DataError):
        raise
    except (DatabaseError, sqlite3.Error, OSError) as error:
        cause = hidden(gist(getattr(error, "orig", None) or error, 400), url)[:120]
        said = BadInput(f"The run store {place} cannot be used ({cause}); {_remedy(cause, place)}.")
        raise said from (error if hidden(str(error), url) == str(error) else None)


def _remedy(cause: str, place: str) -> str:
    where = "its server" if "://" in place else f"the folder {Path(place).parent}"
    remedies = {
        "full": f"free some disk space in {where} and try again",
        "No space": f"free some disk space in {where} and try again",
        "disk I/O error": f"the disk is full or not writable: free some space in {where}, or let it be written to",
        "locked": "another process keeps it busy, so try again in a moment",
        "not a database": "move the damaged file away, and a new store is made",
        "malformed": "move the damaged file away, and a new store is made",
    }
    otherwise = f"check that {where} is there and may be written to"
    return next((text for mark, text in remedies.items() if mark in cause), otherwise)


# What only SQLite needs --------------------------------------------------------------------------------------------


def _tame_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def _open(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # transactions begin where `_begin` says, not where the driver guesses
        for pragma in ("busy_timeout = 20000", "synchronous = NORMAL", "foreign_keys = ON"):
            connection.execute(f"PRAGMA {pragma}")
        _write_ahead(connection)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _write_ahead(connection: Any) -> None:
    """Switch to WAL once; the switch does not wait for others as other statements do."""
    for _ in range(100):
        try:
            if connection.execute("PRAGMA journal_mode = WAL").fetchone()[0] == "wal":
                return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise
        time.sleep(0.02)
