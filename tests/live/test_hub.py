"""The hub draws each panel once for everybody, and a slow viewer holds nobody up."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from stage import OWNER, STRANGER, Easel, Stage, pause

from app.live import hub as module
from app.live.hub import FIELD_HZ, FRAMES_HZ, SEATED, Hub
from app.live.outbox import Message, Seat
from app.live.render import FAILED
from app.panels import View
from kdcore.errors import BadInput
from kdcore.jobs.desk import audience_of
from kdcore.jobs.store import Store

PATIENCE_S = 20.0


@pytest.fixture(autouse=True)
def _no_gaps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GAP_S", dict.fromkeys(module.GAP_S, 0.0))
    monkeypatch.setattr("app.live.run_watcher.ROW_S", {True: 0.0, False: 0.0})


class Viewer:
    """Somebody with a socket that takes everything at once."""

    def __init__(self, name: str = OWNER) -> None:
        self.seat = Seat(name)
        self.got: list[Message] = []
        self.pump = asyncio.create_task(self.seat.pump(self._take))

    async def _take(self, message: Message) -> None:
        self.got.append(message)

    @property
    def last(self) -> dict[str, Any]:
        return json.loads(self.got[-1])


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not true():
            await asyncio.sleep(0.005)


def play(store: Store, easel: Easel, scene: Callable[[Hub], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with Hub(lambda: store, easel.panel) as hub:
            await scene(hub)

    asyncio.run(whole())


def test_a_panel_is_drawn_once_however_many_look(store: Store, stage: Stage, easel: Easel) -> None:
    stage.begin()
    stage.tell(10)

    async def scene(hub: Hub) -> None:
        viewers = [Viewer() for _ in range(50)]
        for place, viewer in enumerate(viewers):
            await hub.watch(viewer.seat, 1, stage.id, "plain", View(temperature=1 + place % 5))
            await hub.watch(viewer.seat, 2, stage.id, "hot", View(temperature=1 + place % 5))
        await until(lambda: all(len(viewer.got) == 2 for viewer in viewers))
        assert easel.drawn.count("plain") == 1  # it asks nothing of the view, so all views are one
        assert easel.drawn.count("hot") == 5
        stage.tell(20)
        await until(lambda: all(len(viewer.got) >= 4 for viewer in viewers))
        assert (easel.drawn.count("plain"), easel.drawn.count("hot")) == (2, 10)
        hot = next(json.loads(message) for message in reversed(viewers[7].got) if '"key":2' in message)
        assert hot["figure"]["layout"] == {"step": 20, "points": 2, "loss": None, "temperature": 3.0}

    play(store, easel, scene)


def test_a_stuck_socket_misses_frames_and_nobody_else_does(store: Store, stage: Stage, easel: Easel) -> None:
    stage.begin()

    async def scene(hub: Hub) -> None:
        stuck, open_gate, arrived = Seat(STRANGER), asyncio.Event(), []

        async def slow(message: Message) -> None:
            await open_gate.wait()
            arrived.append(json.loads(message))

        pump = asyncio.create_task(stuck.pump(slow))
        quick = Viewer()
        for seat in (stuck, quick.seat):
            await hub.watch(seat, 1, stage.id, "plain", View())
        for step in range(1, 11):
            stage.tell(step)
            await until(lambda step=step: quick.got and quick.last["step"] == step)
        open_gate.set()
        await until(lambda: arrived and arrived[-1]["step"] == 10)
        assert len(arrived) <= 3  # the one under way, and the newest
        assert len(quick.got) >= 10
        pump.cancel()

    play(store, easel, scene)


def test_what_looks_the_same_is_not_sent_again(store: Store, stage: Stage, easel: Easel) -> None:
    stage.begin()
    stage.tell(10)

    async def scene(hub: Hub) -> None:
        viewer = Viewer()
        await hub.watch(viewer.seat, 1, stage.id, "plain", View())
        await until(lambda: viewer.got)
        drawings = len(easel.drawn)
        for temperature in (1.0, 2.0, 3.0):
            await hub.watch(viewer.seat, 1, stage.id, "plain", View(temperature=temperature))
        store.command(stage.id, pause(), OWNER)  # news, but of nothing this panel shows
        await until(lambda: len(easel.drawn) > drawings)
        stage.tell(20)
        await until(lambda: viewer.last["step"] == 20)
        assert len(viewer.got) == 2

    play(store, easel, scene)


def test_the_first_picture_of_a_run_waits_for_no_gap(
    store: Store, stage: Stage, easel: Easel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GAP_S", dict.fromkeys(module.GAP_S, 3600.0))

    async def scene(hub: Hub) -> None:
        viewer = Viewer()
        await hub.watch(viewer.seat, 1, stage.id, "plain", View())
        await until(lambda: viewer.got)  # nothing yet
        stage.begin()
        stage.tell(10)
        await until(lambda: viewer.last["step"] == 10)
        stage.record_frame(20)
        await until(lambda: viewer.last["step"] == 20)
        drawings = len(easel.drawn)
        stage.tell(30)
        await until(lambda: hub.shows[stage.id].watcher.subject.step == 30)
        await asyncio.sleep(0.1)
        assert len(easel.drawn) == drawings  # from its first frame on it is drawn as often as all others

    play(store, easel, scene)


def test_fields_travel_as_bytes_after_their_key(store: Store, stage: Stage, easel: Easel) -> None:
    stage.begin()
    stage.show("field", 77)

    async def scene(hub: Hub) -> None:
        viewer = Viewer()
        await hub.watch(viewer.seat, 258, stage.id, "plane", View())
        await until(lambda: viewer.got)
        assert viewer.got == [(258).to_bytes(4, "little") + (77).to_bytes(8, "little")]

    play(store, easel, scene)


def test_a_panel_that_fails_harms_no_other(
    store: Store, stage: Stage, easel: Easel, caplog: pytest.LogCaptureFixture
) -> None:
    stage.begin()

    async def scene(hub: Hub) -> None:
        viewer = Viewer()
        await hub.watch(viewer.seat, 1, stage.id, "bad", View())
        await until(lambda: viewer.got)
        assert viewer.last["lacks"] == FAILED
        await hub.watch(viewer.seat, 2, stage.id, "plain", View())
        await until(lambda: len(viewer.got) == 2)
        assert "figure" in viewer.last

    play(store, easel, scene)
    assert "ZeroDivisionError" in caplog.text


def test_looking_back_is_drawn_by_the_same_panel(store: Store, stage: Stage, easel: Easel) -> None:
    stage.begin()
    for step in (10, 20):
        stage.tell(step)
        stage.record_frame(step)

    async def scene(hub: Hub) -> None:
        viewer = Viewer()
        await hub.watch(viewer.seat, 1, stage.id, "plain", View())
        await until(lambda: viewer.got)
        await hub.watch(viewer.seat, 1, stage.id, "plain", View(at=10))
        await until(lambda: viewer.last["step"] == 10)
        assert viewer.last["figure"]["layout"] == {"step": 10, "points": 1, "loss": None}
        await hub.watch(viewer.seat, 1, stage.id, "plain", View(at=11))
        await until(lambda: "lacks" in viewer.last)
        assert "No frame was recorded at step 11" in viewer.last["lacks"]

    play(store, easel, scene)


def test_those_who_train_hear_that_somebody_looks(store: Store, stage: Stage, easel: Easel) -> None:
    folder = stage.begin().folder

    async def scene(hub: Hub) -> None:
        viewer = Viewer()
        await hub.watch(viewer.seat, 1, stage.id, "status", View())
        await until(lambda: viewer.got)
        assert not any(audience_of(folder))  # numbers alone need no arrays
        await hub.watch(viewer.seat, 2, stage.id, "plain", View())
        await until(lambda: audience_of(folder) == (FRAMES_HZ, 0.0))
        await hub.watch(viewer.seat, 3, stage.id, "plane", View())
        await until(lambda: audience_of(folder) == (FRAMES_HZ, FIELD_HZ))

    play(store, easel, scene)


def test_news_are_followed_on_after_any_error(
    store: Store, stage: Stage, easel: Easel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ATTEND_S", 0.0)
    stage.begin()
    failures = iter([ZeroDivisionError("a bug"), KeyError("another")])

    async def scene(hub: Hub) -> None:
        viewer = Viewer()
        await hub.watch(viewer.seat, 1, stage.id, "status", View())
        watcher = hub.shows[stage.id].watcher
        whole = watcher.poll

        def poll() -> bool:
            for error in failures:
                raise error
            return whole()

        watcher.poll = poll
        stage.tell(10)
        await until(lambda: viewer.got and viewer.last["status"]["step"] == 10)

    play(store, easel, scene)


def test_nothing_goes_on_once_nobody_looks(store: Store, stage: Stage, easel: Easel) -> None:
    stage.begin()

    async def scene(hub: Hub) -> None:
        viewer = Viewer()
        for key, name in enumerate(("plain", "hot", "status")):
            await hub.watch(viewer.seat, key, stage.id, name, View())
        await until(lambda: len(viewer.got) == 3)
        hub.go(viewer.seat)
        await until(lambda: not hub.shows and not hub._tasks)

    play(store, easel, scene)


def test_only_the_owner_controls(store: Store, stage: Stage, easel: Easel) -> None:
    stage.begin()

    async def scene(hub: Hub) -> None:
        owner, stranger = Viewer(OWNER), Viewer(STRANGER)
        for viewer in (owner, stranger):
            await hub.watch(viewer.seat, 1, stage.id, "status", View())
        await until(lambda: owner.got and stranger.got)
        assert (owner.last["status"]["mine"], stranger.last["status"]["mine"]) == (True, False)
        with pytest.raises(BadInput, match="belongs to somebody else"):
            await hub.control(stage.id, pause(), STRANGER)
        await hub.control(stage.id, pause(), OWNER)
        await until(lambda: stranger.last["status"]["paused"])
        assert store.take_commands(stage.id) == [pause()]

    play(store, easel, scene)


def test_one_page_cannot_watch_without_end(store: Store, stage: Stage, easel: Easel) -> None:
    async def scene(hub: Hub) -> None:
        viewer = Viewer()
        for key in range(SEATED):
            await hub.watch(viewer.seat, key, stage.id, "plain", View())
        await hub.watch(viewer.seat, 3, stage.id, "hot", View())  # a change is no addition
        with pytest.raises(BadInput, match=f"at most {SEATED}"):
            await hub.watch(viewer.seat, SEATED, stage.id, "plain", View())

    play(store, easel, scene)
