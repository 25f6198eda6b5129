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


@pytest.fixture
def stage(store: Store) -> Stage:
    return Stage(store)


@pytest.fixture
def easel() -> Easel:
    return Easel()
