"""Over a real socket and real routes: who is let in, what comes back, and that nonsense breaks nothing."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
from case_factory import random_case
from stage import OWNER, STRANGER, Stage
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import HTMLResponse
from starlette.routing import Route
from starlette.testclient import TestClient, WebSocketTestSession
from starlette.websockets import WebSocketDisconnect

from app.live.cookie import NameBrowsers
from app.live.hub import Hub
from app.live.messages import LONGEST
from app.live.render import DAMAGED, FAILED
from app.live.routes import OUTLIVED, PLOTLY, REFUSED, SCRIPTS, WEB, routes
from app.live.tokens import COOKIE, LIFE_S, SERVER, VIEWER, issue
from app.panels import case_panels, panel
from app.paths import APP
from kdcore.comparison.case import folder_of
from kdcore.jobs.store import Store
from kdcore.runs.record import write_arrays


@pytest.fixture
def client(store: Store) -> Iterator[TestClient]:
    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with hub:
            yield

    async def page(_: Any) -> HTMLResponse:
        return HTMLResponse("<p>Lab</p>")

    hub = Hub(lambda: store)
    app = Starlette(routes=[Route("/", page), *routes(hub)], middleware=[Middleware(NameBrowsers)], lifespan=lifespan)
    with TestClient(app, cookies={COOKIE: OWNER}) as opened:
        yield opened


def ask(socket: WebSocketTestSession, op: str, **more: object) -> None:
    socket.send_text(json.dumps({"op": op} | more))


def watch(socket: WebSocketTestSession, run: str, panel: str, key: int = 1, **view: object) -> None:
    ask(socket, "watch", key=key, run=run, panel=panel, view=view)


def test_a_page_of_this_browser_gets_figures_fields_and_status(client: TestClient, stage: Stage) -> None:
    stage.begin()
    stage.tell(10)
    stage.record_frame(10)
    with client.websocket_connect("/api/live") as socket:
        ask(socket, "hello", token=issue(OWNER))
        watch(socket, stage.id, "loss")
        loss = socket.receive_json()
        assert (loss["key"], loss["run"], loss["step"]) == (1, stage.id, 10)
        assert loss["figure"]["data"][0]["x"]
        watch(socket, stage.id, "field", key=2)
        field = socket.receive_bytes()
        assert (int.from_bytes(field[:4], "little"), int.from_bytes(field[4:8], "little")) == (2, 0x4B444631)
        watch(socket, stage.id, "status", key=3)
        status = socket.receive_json()["status"]
        assert (status["state"], status["step"], status["mine"]) == ("running", 10, True)


def refusal(client: TestClient, first: dict[str, object]) -> str:
    """The sentence with which a socket is closed for good."""
    with client.websocket_connect("/api/live") as socket:
        socket.send_text(json.dumps(first))
        sentence = socket.receive_json()["error"]
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_json()
        assert closed.value.code == REFUSED
    return str(sentence)


def test_whoever_cannot_prove_who_they_are_is_turned_away(client: TestClient) -> None:
    old = issue(OWNER, now=time.time() - LIFE_S - 1)
    assert "more than twelve hours" in refusal(client, {"op": "hello", "token": old})
    assert "not opened by this browser" in refusal(client, {"op": "hello", "token": issue(STRANGER)})
    assert "must be 'hello'" in refusal(client, {"op": "leave", "key": 1})
    client.cookies.clear()
    assert "sent no cookie" in refusal(client, {"op": "hello", "token": issue(OWNER)})


def test_a_page_that_another_server_made_is_told_to_load_anew(client: TestClient, stage: Stage) -> None:
    with client.websocket_connect("/api/live") as socket:
        ask(socket, "hello", token=issue(OWNER), server="before")
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_json()
        assert closed.value.code == OUTLIVED
    with client.websocket_connect("/api/live") as socket:
        ask(socket, "hello", token=issue(OWNER), server=SERVER)
        watch(socket, stage.id, "status")
        assert socket.receive_json()["status"]["state"] == "queued"


@pytest.mark.parametrize("origin", ["http://evil.test", "http://[bad", "null", "://", ""])
def test_pages_of_other_sites_get_no_socket(client: TestClient, origin: str) -> None:
    with (
        pytest.raises(WebSocketDisconnect),
        client.websocket_connect("/api/live", headers={"origin": origin}),
    ):
        pytest.fail("another site was let in")


def test_pages_of_this_server_get_a_socket(client: TestClient) -> None:
    with client.websocket_connect("/api/live", headers={"origin": "http://testserver"}) as socket:
        ask(socket, "hello", token=issue(OWNER))


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("{", "The message"),
        ('{"op": "dance"}', "The message"),
        ('{"op": "watch", "key": -1, "run": "x", "panel": "loss", "view": {}}', "greater than or equal to 0"),
        ('{"op": "watch", "key": 1, "run": "x", "panel": "loss", "view": {"temperature": 1e9}}', "view.temperature"),
        ('{"op": "watch", "key": 1, "run": "x", "panel": "loss", "view": {"mine": true}}', "no setting"),
        ('{"op": "watch", "key": 1, "run": "nowhere", "panel": "loss", "view": {}}', "no run named 'nowhere'"),
        ('{"op": "watch", "key": 1, "run": "nowhere", "panel": "lost", "view": {}}', "Did you mean 'loss'?"),
        ('{"op": "control", "run": "nowhere", "command": "pause"}', "no run named 'nowhere'"),
        (" " * (LONGEST + 1), f"at most {LONGEST}"),
    ],
)  # fmt: skip
def test_nonsense_gets_a_sentence_and_the_socket_lives(
    client: TestClient, stage: Stage, message: str, said: str
) -> None:
    with client.websocket_connect("/api/live") as socket:
        ask(socket, "hello", token=issue(OWNER))
        socket.send_text(message)
        assert said in socket.receive_json()["error"]
        watch(socket, stage.id, "status")
        assert socket.receive_json()["status"]["state"] == "queued"


@pytest.mark.parametrize("frame", [b"", b"\xff\x00", b'{"op": "dance"}'])
def test_a_binary_frame_gets_a_sentence_and_the_socket_lives(client: TestClient, stage: Stage, frame: bytes) -> None:
    with client.websocket_connect("/api/live") as socket:
        ask(socket, "hello", token=issue(OWNER))
        socket.send_bytes(frame)
        assert "The message" in socket.receive_json()["error"]
        watch(socket, stage.id, "status")
        assert socket.receive_json()["status"]["state"] == "queued"
    with client.websocket_connect("/api/live") as socket:
        socket.send_bytes(frame)
        assert "The message" in socket.receive_json()["error"]


def test_controls_reach_the_store_for_the_owner_alone(client: TestClient, store: Store, stage: Stage) -> None:
    stage.begin()
    with client.websocket_connect("/api/live") as socket:
        ask(socket, "hello", token=issue(OWNER))
        ask(socket, "control", run=stage.id, command="set", value={"schedule.lr": 0.01})
        ask(socket, "control", run=stage.id, command="set", value={"schedule.lr": -1})
        answer = socket.receive_json()
        assert answer["run"] == stage.id
        assert "schedule.lr" in answer["error"]
        assert [tuple(wish) for wish in store.take_commands(stage.id)] == [("set", {"schedule.lr": 0.01})]
    client.cookies.set(COOKIE, STRANGER)
    with client.websocket_connect("/api/live") as socket:
        ask(socket, "hello", token=issue(STRANGER))
        ask(socket, "control", run=stage.id, command="cancel")
        assert "belongs to somebody else" in socket.receive_json()["error"]
    assert store.take_commands(stage.id) == []


def test_a_panels_numbers_are_a_file(client: TestClient, stage: Stage) -> None:
    stage.begin()
    for step in (10, 20):
        stage.tell(step)
        stage.record_frame(step)
    answer = client.get(f"/api/runs/{stage.id}/panels/loss.csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [float(row["step"]) for row in rows] == [10, 20]
    assert answer.headers["content-disposition"] == f'attachment; filename="{stage.id}-loss-20.csv"'
    earlier = client.get(f"/api/runs/{stage.id}/panels/loss.csv?at=10&temperature=2")
    assert len(earlier.text.splitlines()) == 2
    assert client.get(f"/api/runs/{stage.id}/panels/lost.csv").text.startswith("There is no panel named 'lost'.")
    assert client.get(f"/api/runs/{stage.id}/panels/loss.csv?at=x").status_code == 400
    assert client.get("/api/runs/nowhere/panels/loss.csv").status_code == 404


@pytest.mark.parametrize(("recorded", "sentence"), [(True, DAMAGED), (False, FAILED)])
def test_a_panel_that_fails_is_a_sentence_and_a_record_of_others_no_traceback(
    recorded: bool, sentence: str, client: TestClient, stage: Stage, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    stage.begin()
    stage.tell(10)
    stage.record_frame(10)
    write_arrays(stage.run.folder / "frames/00000010.npz", {"step": np.array(10), "student_logits": np.arange(5.0)})
    if recorded:
        store.note(stage.id, folder=str(stage.run.folder))
    answer = client.get(f"/api/runs/{stage.id}/panels/logits.csv")
    assert (answer.status_code, answer.text) == (404, sentence)
    assert bool(caplog.records[-1].exc_info) != recorded


@pytest.mark.parametrize("name", case_panels())
def test_each_panel_of_a_case_is_a_file_or_a_sentence(client: TestClient, name: str) -> None:
    case = random_case(folder_of("case-0123456789ab"))
    answer = client.get(f"/api/runs/{case.id}/panels/{name}.csv")
    lacking = panel(name).lacks(case)
    assert (answer.text == lacking) if lacking else (answer.status_code in (200, 404))


def test_a_browser_is_named_with_its_first_page_and_keeps_its_name(client: TestClient) -> None:
    client.cookies.clear()
    assert "set-cookie" not in client.get("/api/health").headers
    cookie = client.get("/").headers["set-cookie"]
    assert VIEWER.fullmatch(cookie.partition("=")[2].partition(";")[0])
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
    assert "set-cookie" not in client.get("/").headers
    client.cookies.clear()
    client.cookies.set(COOKIE, "../etc")
    assert "set-cookie" in client.get("/").headers


def test_the_server_says_that_it_is_well(client: TestClient, stage: Stage) -> None:
    assert client.get("/api/health").json() == {"status": "ok", "queued": 1, "running": 0, "watched": 0}
    stage.begin()
    assert client.get("/api/health").json()["running"] == 1


def test_everything_a_browser_loads_comes_from_here(client: TestClient) -> None:
    assert client.get(f"{PLOTLY}/plotly.min.js").text.lstrip().startswith("/**")
    for script in WEB.glob("*.js"):
        answer = client.get(f"{SCRIPTS}/{script.name}")
        assert "javascript" in answer.headers["content-type"]
        assert "https://" not in answer.text.replace('https:"', "")


def test_no_address_of_ours_begins_at_the_root() -> None:
    """Behind a proxy the pages may lie below a path."""
    sources = [path for end in ("py", "js") for path in APP.rglob(f"*.{end}")]
    assert [path for path in sources if "{location.origin}" in path.read_text() and path.name != "access.js"] == []
