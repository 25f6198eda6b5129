"""A store in an empty home, and a run on stage."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from stage import Easel, Stage

from kdcore.jobs.store import Store


@pytest.fixture
def store(home: Path) -> Iterator[Store]:
    opened = Store(home)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def lab_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that a server and the tests of a file share."""
    return tmp_path_factory.mktemp("lab")


@pytest.fixture
def stage(store: Store) -> Stage:
    return Stage(store)


@pytest.fixture
def easel() -> Easel:
    return Easel()
