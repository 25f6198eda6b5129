"""Whoever sends without end and takes nothing makes the server hold no more than a stated amount."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from stage import OWNER, Easel, Stage
from starlette.websockets import WebSocketState
from uvicorn import Config
from uvicorn.server import ServerState
from websockets.client import ClientProtocol
from websockets.exceptions import PayloadTooBig
from websockets.frames import Frame, Opcode
from websockets.uri import parse_uri

from app.live import hub as module
from app.live import routes
from app.live.hub import SEATED, Hub
from app.live.messages import LONGEST, parse
from app.live.outbox import LETTERS, Message, Seat
from app.live.render import DrawnPanel
from app.live.socket import LONGEST_BYTES, PATH, Bounded
from app.panels import View
from kdcore.errors import BadInput
from kdcore.jobs.store import Store

FLOOD = 1000
LONGEST_SENTENCE = 800  # characters; it may quote a little of what was sent


class Flood:
    """A socket from which nonsense comes without end, and which takes nothing before its gate opens."""

    application_state = WebSocketState.CONNECTED

    def __init__(self) -> None:
        self.asked, self.gate, self.took = 0, asyncio.Event(), list[Message]()

    async def receive(self) -> dict[str, Any]:
        if self.asked == FLOOD:
            return {"type": "websocket.disconnect"}
        self.asked += 1
        return {"type": "websocket.receive", "text": "{"}

    async def send_text(self, text: str) -> None:
        await self.gate.wait()
        self.took.append(text)


async def at_rest(count: Callable[[], object]) -> None:
    """Until what is counted no longer changes while everybody gets a turn."""
    before = None
    while before != (before := count()):
        for _ in range(100):
            await asyncio.sleep(0)


def test_who_takes_no_answers_is_not_heard_until_it_does(store: Store) -> None:
    async def scene() -> None:
        socket, seat = Flood(), Seat(OWNER)
        talk = asyncio.create_task(routes._converse(Hub(lambda: store), socket, seat))  # type: ignore[arg-type]
        await at_rest(lambda: socket.asked)
        assert (socket.asked, seat.waiting) == (LETTERS + 1, LETTERS)  # and one that is being sent
        socket.gate.set()
        await asyncio.gather(talk, return_exceptions=True)
        assert socket.asked == FLOOD
        assert len(socket.took) >= FLOOD - LETTERS  # none is lost but those on the way when the page went

    asyncio.run(scene())


def test_a_conversation_ends_where_nothing_can_be_sent_any_more(store: Store) -> None:
    class Broken(Flood):
        async def send_text(self, text: str) -> None:
            await self.gate.wait()
            self.application_state = WebSocketState.DISCONNECTED
            raise ConnectionError

    async def scene() -> None:
        socket = Broken()
        talk = asyncio.create_task(routes._converse(Hub(lambda: store), socket, Seat(OWNER)))  # type: ignore[arg-type]
        await at_rest(lambda: socket.asked)
        socket.gate.set()
        await talk
        assert socket.asked == LETTERS + 1

    asyncio.run(scene())


def test_a_subscription_that_ended_leaves_nothing(store: Store, stage: Stage, easel: Easel) -> None:
    async def scene() -> None:
        async with Hub(lambda: store, easel.panel) as hub:
            seat = Seat(OWNER)
            for key in range(FLOOD):
                await hub.watch(seat, key, stage.id, "plain", View())
                seat.show(key, DrawnPanel(stage.id, 1, 1, {}, '"figure":{}'))
                hub.leave(seat, key)
            assert (seat._slots, seat._sent, hub._topics) == ({}, {}, {})

    asyncio.run(scene())


def test_what_waits_is_the_drawing_that_all_share() -> None:
    payload = json.dumps({"figure": "x" * 10_000})
    seats = [Seat(OWNER) for _ in range(5)]
    for seat in seats:
        for step in range(FLOOD):
            seat.show(step % SEATED, DrawnPanel("run", step, step, {}, payload))
    held = [waiting.payload for seat in seats for waiting in seat._slots.values() if isinstance(waiting, DrawnPanel)]
    assert len(held) == 5 * SEATED
    assert all(one is payload for one in held)


@pytest.mark.parametrize(("each", "kept"), [(1, 128), (1 << 20, 64), (65 << 20, 1)])
def test_remembered_drawings_are_bounded_by_number_and_size(store: Store, each: int, kept: int) -> None:
    hub, payload = Hub(lambda: store), "x" * each
    for number in range(200):
        hub._keep((f"run{number}", "plain", None), [DrawnPanel("run", 0, 1, {}, payload)])
    assert len(hub._kept) == kept
    assert list(hub._kept)[-1][0] == "run199"
    assert (module.KEPT, module.KEPT_BYTES) == (128, 64 << 20)


LONG = "x" * 7000
ODD = "\U0001f600" * 1500


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"op": LONG}),
        json.dumps({"op": "leave", "key": 1, LONG: 1}),
        json.dumps({"op": "leave", "key": LONG}),
        json.dumps({"op": "control", "run": "x", "command": LONG}),
        json.dumps({"op": "watch", "key": 1, "run": "x", "panel": "loss", "view": {ODD: 1}}, ensure_ascii=False),
        json.dumps({"op": ODD}, ensure_ascii=False),
        LONG,
    ],
)
def test_no_answer_repeats_what_was_sent(text: str) -> None:
    assert len(text) <= LONGEST
    with pytest.raises(BadInput) as caught:
        parse(text)
    assert len(str(caught.value)) <= LONGEST_SENTENCE * (1 if text.isascii() else 4)  # escaped


class Wire:
    """A transport that keeps what is written, as one does whose other side takes nothing."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


async def opened(path: str) -> tuple[Bounded, Wire, ClientProtocol]:
    """The server's side of a socket, its wire, and the other side's protocol."""

    async def app(_: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await asyncio.Event().wait()

    config = Config(app, ws=Bounded, lifespan="off", log_config=None)
    config.load()
    side, wire = Bounded(config, ServerState(), {}), Wire()
    side.connection_made(wire)  # type: ignore[arg-type]
    client = ClientProtocol(parse_uri(f"ws://here{path}"), max_size=None)
    client.send_request(client.connect())
    side.data_received(b"".join(client.data_to_send()))
    await at_rest(lambda: len(wire.written))
    client.receive_data(b"".join(wire.written))
    wire.written.clear()
    return side, wire, client


async def closed(side: Bounded) -> None:
    side.stop_keepalive()
    for task in list(side.tasks):
        task.cancel()
    await asyncio.gather(*side.tasks, return_exceptions=True)


def test_pings_are_answered_only_while_answers_are_taken() -> None:
    async def scene() -> None:
        side, wire, client = await opened(PATH)
        for full in (False, True, False):
            (side.pause_writing if full else side.resume_writing)()
            for number in range(FLOOD):
                client.send_ping(number.to_bytes(4, "little"))
            side.data_received(b"".join(client.data_to_send()))
            answers = b"".join(wire.written)
            wire.written.clear()
            client.receive_data(answers)
            pongs = [one for one in client.events_received() if isinstance(one, Frame) and one.opcode is Opcode.PONG]
            assert len(pongs) == (0 if full else FLOOD)
        await closed(side)

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("path", "most"), [(PATH, LONGEST_BYTES), (f"/below{PATH}?x=1", LONGEST_BYTES), ("/_stcore/stream", 16 << 20)]
)
def test_a_message_to_the_live_view_is_short(path: str, most: int) -> None:
    async def scene() -> None:
        side, _, _ = await opened(path)
        assert side.conn.max_message_size == most
        await closed(side)

    asyncio.run(scene())


def test_a_message_that_is_too_long_ends_its_socket() -> None:
    async def scene() -> None:
        side, _, client = await opened(PATH)
        client.send_text(b"x" * (LONGEST_BYTES + 1))
        side.data_received(b"".join(client.data_to_send()))
        assert isinstance(side.conn.parser_exc, PayloadTooBig)
        await closed(side)

    asyncio.run(scene())
