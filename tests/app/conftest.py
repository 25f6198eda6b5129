"""A Lab of its own for every test: an empty store, a browser called "me", and runs with a made-up story."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from lab_driver import ME, Finish, Open, story
from streamlit.testing.v1 import AppTest

from app import run_store
from kdcore.jobs.rows import Run
from kdcore.jobs.store import Store
from kdcore.spec.lineage import recommended

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

MAIN = Path(run_store.__file__).parent / "main.py"


@pytest.fixture
def store(home: Path) -> Iterator[Store]:  # noqa: ARG001
    """The empty store that the pages open."""
    run_store.store.cache_clear()
    yield run_store.store()
    run_store.store().close()
    run_store.store.cache_clear()


@pytest.fixture
def lab(store: Store) -> Open:  # noqa: ARG001
    """Opens a page with query parameters, as the browser "me"."""

    def open_page(view: str = "lab", **query: str) -> AppTest:
        test = AppTest.from_file(str(MAIN), default_timeout=60)
        test.session_state["viewer"] = ME
        if view != "lab":
            test.run()
            test.switch_page(f"views/{view}.py")
        for name, value in query.items():
            test.query_params[name] = value
        return test.run()

    return open_page


@pytest.fixture
def finish(store: Store) -> Finish:
    """Makes a run that is over."""

    def make(owner: str = ME, data: str = "moons", method: str = "kd", seed: int = 0, accuracy: float = 0.9) -> Run:
        spec = recommended(data, method, seed=seed)
        run = store.submit(spec, owner)
        assert store.claim(1, run.id)
        store.append(run.id, story(spec, accuracy))
        return store.get(run.id)

    return make


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home that `address` serves: empty, unless a module fills one of its own."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    """The address of a server over that home, for which the terminal's runs are those of whoever looks."""
    from browsing import end_workers, served

    with served(folder, terminal="local") as found:
        yield found
    end_workers(folder)


@pytest.fixture
def page(chromium: Browser, address: str) -> Iterator[Page]:
    """A page of somebody nobody knows yet."""
    from browsing import person

    with person(chromium, address) as opened:
        yield opened
