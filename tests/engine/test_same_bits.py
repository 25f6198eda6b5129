"""For every method: stopping, resuming and watching change no bit."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from small_run import CUT, Weights, kept, run, same, taught

from kdcore.contracts.control import Audience, Desk
from kdcore.engine import control
from kdcore.events import Checkpoint, Event, Started
from kdcore.spec.registry import METHODS


@pytest.fixture(scope="module")
def uninterrupted(
    weights: Weights, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], tuple[list[Event], Path]]:
    """The story and folder of a run of each method that nobody stops or watches."""

    @cache
    def of(method: str) -> tuple[list[Event], Path]:
        folder = tmp_path_factory.mktemp(method)
        return list(run(taught(method), folder, weights)), folder

    return of


Whole = Callable[[str], tuple[list[Event], Path]]


@pytest.mark.parametrize("method", list(METHODS))
def test_stopped_and_resumed_equals_uninterrupted(
    method: str, weights: Weights, uninterrupted: Whole, tmp_path: Path
) -> None:
    story, folder = uninterrupted(method)
    begun: list[Event] = []
    for event in run(taught(method), tmp_path, weights):
        begun.append(event)
        if sum(isinstance(told, Checkpoint) for told in begun) == CUT:
            break
    rest = list(run(taught(method), tmp_path, weights))
    assert 0 < rest[0].step == begun[-1].step < story[-1].step
    assert begun + rest[1:] == story
    assert same(kept(folder), kept(tmp_path))


class Eager(Desk):
    """A desk that looks as often as it is let."""

    def __init__(self) -> None:
        self.frames = 0

    def audience(self) -> Audience:
        return Audience(frames_hz=1e9)

    def show(self, channel: str, arrays: dict[str, np.ndarray]) -> None:
        self.frames += channel == "frame"


@pytest.mark.parametrize("method", list(METHODS))
def test_watching_every_step_changes_no_bit(
    method: str, weights: Weights, uninterrupted: Whole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "LOOK_S", 0.0)
    monkeypatch.setattr(control, "FRAME_SHARE", 1e9)
    story, folder = uninterrupted(method)
    desk = Eager()
    assert list(run(taught(method), tmp_path, weights, desk)) == story
    assert isinstance(story[0], Started)
    assert desk.frames == story[0].steps
    assert same(kept(folder), kept(tmp_path))
