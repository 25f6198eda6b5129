"""Answers while the page goes on: of several wishes the last counts, and what hinders one is told."""

from pathlib import Path
from threading import Event
from typing import Any

import pytest

from app.helpers import comparison
from kdcore.comparison.case import progress
from kdcore.errors import BadInput


def idle() -> None:
    """Wait until everything that was wished for has been answered."""
    comparison._answers().submit(lambda: None).result(10)


def test_of_several_wishes_the_last_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go, seen = Event(), Event(), list[int]()

    def ask(_: Path, __: str, wishes: dict[str, Any], ___: bool) -> dict[str, Any]:
        begun.set()
        assert go.wait(10)
        seen.append(wishes["row"])
        return {}

    monkeypatch.setattr(comparison, "_told", ask)
    comparison.later(tmp_path, "plane", row=1)
    assert begun.wait(10)
    for row in (2, 3, 4):
        comparison.later(tmp_path, "plane", row=row)
    go.set()
    idle()
    assert seen == [1, 4]
    told = progress(tmp_path, "plane")
    assert told is not None
    assert told.state == "done"


def test_what_hinders_an_answer_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(*_: Any, **__: Any) -> dict[str, Any]:
        raise BadInput("These three rows lie on one line.")

    monkeypatch.setattr(comparison, "_told", ask)
    comparison.later(tmp_path, "plane", row=1)
    idle()
    told = progress(tmp_path, "plane")
    assert told is not None
    assert (told.state, told.says) == ("failed", "These three rows lie on one line.")
