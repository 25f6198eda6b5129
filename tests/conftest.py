"""A home of its own for every test session, so nothing touches a person's runs."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from playwright.sync_api import Browser

settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")
if "KDLAB_HOME" not in os.environ:  # inherited by xdist workers and by processes that tests start
    os.environ["KDLAB_HOME"] = tempfile.mkdtemp(prefix="kdlab-tests-")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, for tests that look at what is stored."""
    monkeypatch.setenv("KDLAB_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def chromium() -> Iterator["Browser"]:
    """A real browser, for tests marked so."""
    from browsing import CHROMIUM, FLAGS, PATIENCE_MS
    from playwright.sync_api import expect, sync_playwright

    if not Path(CHROMIUM).exists():
        pytest.skip(f"no chromium at {CHROMIUM}; set KDLAB_CHROMIUM to run the browser tests")
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as player, closing(player.chromium.launch(executable_path=CHROMIUM, args=FLAGS)) as browser:
        yield browser
