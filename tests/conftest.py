"""A home of its own for every test session, so nothing touches a person's runs."""

import os
import tempfile
from pathlib import Path

import pytest

if "KDLAB_HOME" not in os.environ:  # inherited by xdist workers and by processes that tests start
    os.environ["KDLAB_HOME"] = tempfile.mkdtemp(prefix="kdlab-tests-")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, for tests that look at what is stored; the catalogue is shared to save its rebuilding."""
    from kdcore import catalogue

    catalogue.catalogue()
    monkeypatch.setenv("KDLAB_HOME", str(tmp_path))
    return tmp_path
