"""The routes beside the pages: the socket, the panels' numbers as files, health, and what the browser loads."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import io
from collections import Counter
from contextlib import suppress
from importlib.resources import files
from itertools import zip_longest
from pathlib import Path
from typing import Any

from anyio import to_thread
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from app.live import messages, ownership
from app.live.case_watcher import CaseWatcher
from app.live.cookie import viewer_of
from app.live.hub import Hub, watched
from app.live.outbox import Message, Seat
from app.live.render import lacks, own_faults
from app.live.run_watcher import Watcher
from app.live.socket import PATH
from app.live.tokens import SERVER, verify
from app.panels import Panel, View, panel
from app.panels._recast import STUDENT
from app.panels._recast import columns as headed
from kdcore.errors import BadInput, sentence

HELLO_S = 10.0  # a page that has not said who it is by then is not one of ours
REFUSED = 4401  # close code: reload the page, another try would fail as well
OUTLIVED = 4402  # close code: another server made the page, which reloads itself
WEB = Path(__file__).parent / "web"
DIGEST = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(WEB.iterdir()) if path.is_file())).hexdigest()[
    :10
]
SCRIPTS = f"/vendor/live/{DIGEST}"  # another address for another version, so no browser keeps an old one
PLOTLY = "/vendor/plotly"


def module(name: str) -> str:
    """JavaScript for the address of one of our modules: every page lies one level below the base, whatever that is."""
    return f'new URL(".{SCRIPTS}/{name}.js", location.href).href'


def routes(hub: Hub) -> list[BaseRoute]:
    """Everything the pages need besides Streamlit's own routes."""

    async def live(socket: WebSocket) -> None:
        await serve(hub, socket)

    async def health(_: Request) -> Response:
        runs = await to_thread.run_sync(lambda: hub.store.runs(states={"queued", "running"}))
        counts = Counter(run.state for run in runs)
        busy = {"queued": counts["queued"], "running": counts["running"], "watched": len(hub.shows)}
        return JSONResponse({"status": "ok", **busy})

    async def numbers(request: Request) -> Response:
        return await to_thread.run_sync(table, hub, request.path_params, dict(request.query_params))

    return [
        WebSocketRoute(PATH, live),
        Route("/api/health", health),
        Route("/api/runs/{run}/panels/{panel}.csv", numbers),
        Mount(PLOTLY, StaticFiles(directory=str(files("plotly") / "package_data"))),
        Mount(SCRIPTS, StaticFiles(directory=WEB)),
    ]


def same_origin(origin: str | None, host: str | None) -> bool:
    """Whether a page of this server asks; what is no browser sends no origin."""
    return origin is None or origin.partition("://")[2] == host


async def serve(hub: Hub, socket: WebSocket) -> None:
    """One socket, from its first message to its end."""
    if not same_origin(socket.headers.get("origin"), socket.headers.get("host")):
        await socket.close()
        return
    await socket.accept()
    with suppress(WebSocketDisconnect):
        try:
            viewer, server = await _greeted(socket)
        except BadInput as error:
            await socket.send_json({"error": str(error)})
            await socket.close(REFUSED)
            return
        if server not in ("", SERVER):
            await socket.close(OUTLIVED)
            return
        await _converse(hub, socket, Seat(viewer, ownership.owners(viewer, socket.headers)))


async def _greeted(socket: WebSocket) -> tuple[str, str]:
    """Return the viewer, once the page has proved who it is, and the server that made the page.

    Raises:
        BadInput: it has not.
    """
    viewer = viewer_of(socket.scope)
    if viewer is None:
        raise BadInput("This browser sent no cookie, which the live view needs; allow cookies and reload the page.")
    try:
        hello = messages.parse(await asyncio.wait_for(_text(socket), HELLO_S))
    except TimeoutError:
        raise BadInput("This page did not say who it is; reload it.") from None
    if not isinstance(hello, messages.Hello):
        raise BadInput("The first message must be 'hello'; reload the page.")
    verify(hello.token, viewer)
    return viewer, hello.server


async def _converse(hub: Hub, socket: WebSocket, seat: Seat) -> None:
    """Hear what the page asks while its slots are sent to it; ends with the socket."""

    async def send(message: Message) -> None:
        await (socket.send_bytes(message) if isinstance(message, bytes) else socket.send_text(message))

    pump = asyncio.create_task(seat.pump(send))
    try:
        while socket.application_state is WebSocketState.CONNECTED:  # a failed send ends it as well
            await _hear(hub, seat, await _text(socket))
            await seat.room()
    finally:
        hub.go(seat)
        pump.cancel()
        await asyncio.gather(pump, return_exceptions=True)


async def _text(socket: WebSocket) -> str:
    """Return the next message; a binary one, which no page of ours sends, is read as text all the same.

    Raises:
        WebSocketDisconnect: the page is gone.
    """
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1000))
    text: str | None = message.get("text")
    return (message.get("bytes") or b"").decode("utf-8", "replace") if text is None else text


async def _hear(hub: Hub, seat: Seat, text: str) -> None:
    """Do what one message asks; what is wrong with it goes back as a sentence."""
    asked: dict[str, Any] = {}
    try:
        message = messages.parse(text)
        asked = message.model_dump(include={"key", "run"})
        if isinstance(message, messages.WatchRequest):
            await hub.watch(seat, message.key, message.run, message.panel, message.view)
        elif isinstance(message, messages.Leave):
            hub.leave(seat, message.key)
        elif isinstance(message, messages.Control):
            await hub.control(message.run, message.wish, seat.owners)
    except BadInput as error:
        seat.say(error=str(error), **asked)


def _columns(watcher: Watcher | CaseWatcher, found: Panel, record: Any, view: View) -> dict[str, list[Any]]:
    """Return a panel's numbers.

    Raises:
        BadInput: why there are none.
    """
    with own_faults(watcher):
        if lacking := lacks(watcher, found, record, view.at):
            raise BadInput(lacking)
        return headed(found.table(record, view), getattr(watcher.subject, "learner", STUDENT))


def table(hub: Hub, path: dict[str, str], query: dict[str, str]) -> Response:
    """Return a panel's numbers as CSV, one column per quantity."""
    try:
        found = panel(path["panel"])
        view = View.model_validate(query)
        watcher = watched(hub.store, path["run"])
        record = watcher.subject.record(view.at, field=found.kind == "field")
        columns = _columns(watcher, found, record, view)
    except ValidationError as error:
        return PlainTextResponse(str(sentence(error, "The view")), 400)
    except BadInput as error:
        return PlainTextResponse(str(error), 404)
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(columns)
    writer.writerows(zip_longest(*columns.values(), fillvalue=""))
    step = watcher.subject.step if view.at is None else view.at
    name = f"{watcher.subject.id}-{path['panel']}-{step}.csv"
    disposition = f'attachment; filename="{name}"'
    return Response(out.getvalue(), media_type="text/csv", headers={"content-disposition": disposition})
