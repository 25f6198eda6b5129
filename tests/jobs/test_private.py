"""What nobody else is to read: the database's files, and the names of browsers, which are keys to their runs."""

import hashlib
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from traceback import format_exception
from urllib.parse import quote, quote_plus

import pytest
from fixture_jobs import job
from sqlalchemy import make_url

from kdcore.contracts.control import Command
from kdcore.errors import BadInput
from kdcore.jobs.store import Store
from kdcore.jobs.tables import VERSION, name_of, one_sentence, sealed

BROWSER, OTHER = "0123456789abcdef" * 2, "f" * 32


def modes(home: Path) -> set[int]:
    return {stat.S_IMODE(path.stat().st_mode) for path in home.glob("runs.db*")}


def content(home: Path) -> bytes:
    return b"".join(path.read_bytes() for path in home.glob("runs.db*"))


def test_the_database_is_its_owners_alone_from_the_start(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with closing(Store(home)) as store:
        store.submit(job(), BROWSER)
        assert len(list(home.glob("runs.db*"))) == 3
        assert modes(home) == {0o600}


def test_that_of_an_older_home_becomes_so(tmp_path: Path) -> None:
    with closing(Store(tmp_path)) as store:
        store.submit(job(), "me")
    for path in tmp_path.glob("runs.db*"):
        path.chmod(0o644)
    with closing(Store(tmp_path)) as store:
        assert modes(tmp_path) == {0o600}
        assert len(store.runs()) == 1


def elsewhere(home: Path) -> int:
    """How many runs another process sees; it is the last to close the database, as far as it can tell."""
    code = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1])\n"
    code += "print(db.execute('select count(*) from run').fetchone()[0]); db.close()"
    return int(subprocess.run([sys.executable, "-c", code, home / "runs.db"], capture_output=True, check=True).stdout)


def test_a_second_store_in_a_process_leaves_the_first_ones_locks(store: Store, tmp_path: Path) -> None:
    """Without them another process that closes the database removes the log into which the first still writes."""
    store.submit(job(seed=0), "me")
    with closing(Store(tmp_path)):
        assert elsewhere(tmp_path) == 1
        store.submit(job(seed=1), "me")
        assert (elsewhere(tmp_path), len(store.runs())) == (2, 2)


def test_a_browser_is_stored_as_a_digest_and_controls_its_runs(tmp_path: Path) -> None:
    with closing(Store(tmp_path)) as store:
        run = store.submit(job(), BROWSER)
        assert run.owner == "sha256:" + hashlib.sha256(BROWSER.encode()).hexdigest()
        assert store.submit(job(), BROWSER).id == run.id
        assert store.submit(job(), OTHER, also=frozenset({BROWSER})).id == run.id
        assert store.submit(job(), OTHER).id != run.id
        store.claim(1, run.id)
        store.command(run.id, Command("pause"), BROWSER)
        store.command(run.id, Command("resume"), frozenset({OTHER, run.owner}))
        with pytest.raises(BadInput, match="belongs to somebody else"):
            store.command(run.id, Command("pause"), OTHER)
    assert BROWSER.encode() not in content(tmp_path)


@pytest.mark.parametrize("owner", ["terminal", "demo", "me", "", "F" * 32, "a" * 33, sealed(BROWSER)])
def test_what_is_no_key_stays(owner: str) -> None:
    assert sealed(owner) == owner


def as_before(home: Path) -> dict[str, str]:
    """A home as version 1 left it: browsers' names in clear, with runs enough to fill pages; ids and their owners."""
    with closing(Store(home)) as store:
        owners = [BROWSER, "terminal", *(f"{number:032x}" for number in range(40))]
        ids = {store.submit(job(seed=place), owner).id: owner for place, owner in enumerate(owners)}
        first = next(iter(ids))
        store.claim(1, first)
        store.command(first, Command("pause"), BROWSER)
    with closing(sqlite3.connect(home / "runs.db")) as database, database:
        for run, owner in ids.items():
            database.execute("UPDATE run SET owner = ? WHERE id = ?", (owner, run))
            database.execute("UPDATE command SET owner = ? WHERE run = ?", (owner, run))
        database.execute("UPDATE ledger SET version = 1")
    return ids


def test_a_home_of_before_keeps_its_runs_and_forgets_the_keys(tmp_path: Path) -> None:
    ids = as_before(tmp_path)
    assert BROWSER.encode() in content(tmp_path)
    for _ in range(2):
        with closing(Store(tmp_path)) as store:
            assert {run.id: run.owner for run in store.runs()} == {run: sealed(owner) for run, owner in ids.items()}
            assert store.take_commands(next(iter(ids)), leave=["pause"]) == []
            for owner in filter(lambda name: name != "terminal", ids.values()):
                assert owner.encode() not in content(tmp_path)
    with closing(Store(tmp_path)) as store:
        queued = list(ids)[2]
        store.command(queued, Command("cancel"), ids[queued])
        assert store.get(queued).state == "cancelled"
    with closing(sqlite3.connect(tmp_path / "runs.db")) as database:
        assert database.execute("SELECT version FROM ledger").fetchall() == [(VERSION,)]
        assert database.execute("SELECT owner FROM command").fetchall()[0] == (sealed(BROWSER),)


PASSWORD = "s3cr:et/p@ss"
URLS = [
    "nosuch://me:s3cr%3Aet%2Fp%40ss@host/db",
    "sqlite:///{folder}/there/runs.db?password=s3cr%3Aet%2Fp%40ss",
    "postgresql://me:s3cr%3Aet%2Fp%40ss@host:x/db",
    "me:s3cr:et/p@ss@host",
    "mysql+nosuch://me@host/db?password=s3cr%3Aet%2Fp%40ss",
]


def told(error: BaseException) -> str:
    return "".join(format_exception(error))


@pytest.mark.parametrize("url", URLS)
def test_no_error_or_traceback_tells_a_password(url: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput) as caught:
        Store(tmp_path, url.format(folder=tmp_path))
    said = told(caught.value)
    for form in (PASSWORD, quote(PASSWORD), quote_plus(PASSWORD), quote(PASSWORD, safe="")):
        assert form not in str(caught.value)
        assert form not in said.replace(url, "")  # the line of this test itself


@pytest.mark.parametrize("kind", [sqlite3.OperationalError, OSError])
def test_what_a_driver_quotes_goes_no_further(kind: type[Exception]) -> None:
    url = "postgresql://me:s3cr%3Aet%2Fp%40ss@host/db"
    with pytest.raises(BadInput) as caught, one_sentence("postgresql://me:***@host/db", url):
        raise kind(f"no connection with password={PASSWORD} of {url}")
    assert PASSWORD not in told(caught.value)
    assert quote(PASSWORD, safe="") not in str(caught.value)
    assert "no connection with password=*** of ***" in str(caught.value)
    with pytest.raises(BadInput) as caught, one_sentence("runs.db", "sqlite:////there/runs.db"):
        raise sqlite3.OperationalError("disk I/O error")
    assert "OperationalError" in told(caught.value)  # what tells nothing keeps its cause


def test_a_store_is_named_without_its_password() -> None:
    named = name_of(make_url("postgresql://me:hush@host/db?sslpassword=hush"))
    assert named == "postgresql://me:***@host/db"
