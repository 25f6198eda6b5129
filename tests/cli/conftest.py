"""A home of its own for each test, and the command as a process."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home."""
    monkeypatch.setenv("KDLAB_HOME", str(tmp_path))
    monkeypatch.delenv("KDLAB_DATABASE", raising=False)
    return tmp_path


@pytest.fixture
def toy_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs are done by `toy_engine.train`: without torch, and as slowly as asked."""
    monkeypatch.setenv("KDLAB_TRAIN", "toy_engine:train")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]))


@pytest.fixture
def kdlab(lab: Path) -> Command:
    """Run `kdlab` with some words to its end, in the home of `lab`."""
    assert str(lab) == os.environ["KDLAB_HOME"]

    def command(*words: str, **more: object) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "app.cli", *words]
        return subprocess.run(line, capture_output=True, text=True, cwd=HERE.parents[1], timeout=240, **more)  # type: ignore[call-overload,no-any-return]

    return command
