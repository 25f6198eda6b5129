"""Which hosts, origins and frames open the pages, and what the others are told."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from app.live import access, ownership
from app.live.access import BESIDE, Access, Guard, base_path, origin, read_access
from kdcore.errors import BadInput
from kdcore.jobs.rows import TERMINAL

seen: list[Mapping[str, Any]] = []


async def inside(scope: Scope, receive: Receive, send: Send) -> None:
    """A page, a socket, and a note of what was asked."""
    seen.append(scope)
    if scope["type"] == "websocket":
        socket = WebSocket(scope, receive, send)
        await socket.accept()
        await socket.send_text(socket.headers.get("origin", "none"))
        await socket.close()
    elif scope["path"] == "/moved":
        await RedirectResponse("/inspector")(scope, receive, send)
    else:
        answer = (
            HTMLResponse("<html><head></head></html>", headers={"etag": "x"})
            if scope["path"] in ("/", "/runs", "/media/a.html")
            else Response("x")
        )
        answer.set_cookie("a", "b", samesite="lax")
        await answer(scope, receive, send)


NOTHING = Access()
HERE = {"host": "localhost:8501"}  # a socket of the test client has a host of its own


def client(access: Access = NOTHING, base_url: str = "http://localhost:8501") -> TestClient:
    return TestClient(Guard(inside, access), base_url=base_url, follow_redirects=False)


@pytest.mark.parametrize(
    "host", ["localhost:8501", "127.0.0.1:8501", "[::1]:8501", "192.168.1.7", "lab.localhost:80", "localhost."]
)
def test_this_machine_is_reached_by_its_own_names(host: str) -> None:
    assert client().get("/x", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8501",
        "localhost.evil.example",
        "127.0.0.1.nip.io",
        "127.0.0.1%evil.example",
        "[",
        "",
    ],
)
def test_a_name_that_anybody_may_have_is_not_answered(host: str) -> None:
    """A page of that name, pointed at this machine, would be of one origin with the Lab."""
    refused = client().get("/", headers={"host": host})
    assert refused.status_code == 421
    assert (f"kdlab app --origin http://{host}" in refused.text) == (host.strip("[") != "" and "%" not in host)
    with pytest.raises(WebSocketDisconnect), client().websocket_connect("/live", headers={"host": host}):
        pass


def test_a_listed_origin_is_answered_and_trusted() -> None:
    listed = client(Access(origins=("https://hub.example",)))
    assert listed.get("/", headers={"host": "hub.example"}).status_code == 200
    for host in ("hub.example", "127.0.0.1:8501"):  # whether its proxy passes on the name or not
        with listed.websocket_connect("/live", headers={"host": host, "origin": "https://hub.example"}) as socket:
            assert socket.receive_text() == f"http://{host}", "Streamlit compares it with the host"


@pytest.mark.parametrize(
    "asks", ["https://evil.example", "null", "http://localhost:9999", "https://hub.example.evil", "http://["]
)
def test_another_sites_page_opens_no_socket_and_uploads_nothing(asks: str) -> None:
    listed = client(Access(origins=("https://hub.example",)))
    with pytest.raises(WebSocketDisconnect), listed.websocket_connect("/live", headers=HERE | {"origin": asks}):
        pass
    refused = listed.put("/_stcore/upload_file/x/y", headers={"origin": asks})
    assert refused.status_code == 403
    advised = f"KDLAB_ORIGINS={asks}" in refused.text
    assert advised == (asks not in ("null", "http://["))
    assert listed.get("/x", headers={"origin": asks}).status_code == 200, "reading is the browser's to forbid"


def test_who_comes_through_a_proxy_is_not_taken_for_a_local_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though the proxy names no one, and the server reads an origin of its own."""
    monkeypatch.setenv(ownership.POLICY, "local")
    listed = client(Access(origins=("https://hub.example",)))
    for asks, owners in (("https://hub.example", {"me"}), ("http://localhost:8501", {"me", TERMINAL})):
        seen.clear()
        with listed.websocket_connect("/live", headers=HERE | {"origin": asks}):
            assert ownership.owners("me", Headers(scope=seen[0])) == owners


def test_what_is_no_browser_names_no_origin() -> None:
    with client().websocket_connect("/live", headers=HERE) as socket:
        assert socket.receive_text() == "none"


def test_a_base_path_is_taken_off_and_what_comes_without_is_answered_too() -> None:
    based = client(Access(base="/hub/lab"))
    seen.clear()
    assert based.get("/hub/lab/inspector?a=b").status_code == 200
    assert based.get("/api/health").status_code == 200
    assert [(one["path"], one["raw_path"]) for one in seen] == [
        ("/inspector", b"/inspector"),
        ("/api/health", b"/api/health"),
    ]
    assert based.get("/hub/lab?run=a").headers["location"] == "/hub/lab/?run=a"
    assert based.get("/hub/lab/moved").headers["location"] == "/hub/lab/inspector"
    assert based.get("/moved").headers["location"] == "/inspector"
    assert "Path=/hub/lab/;" in based.get("/hub/lab/x").headers["set-cookie"]
    assert based.get("/hub/laboratory").status_code == 200
    assert seen[-1]["path"] == "/hub/laboratory"


def test_a_page_carries_what_it_compares_itself_with() -> None:
    page = client(Access(origins=("https://hub.example",))).get(
        "/", headers={"accept": "text/html", "accept-encoding": "gzip"}
    )
    assert "&quot;host&quot;: &quot;localhost:8501&quot;" in page.text
    assert "https://hub.example" in page.text
    assert int(page.headers["content-length"]) == len(page.content)
    assert "etag" not in page.headers
    assert page.headers["x-content-type-options"] == "nosniff"
    assert "accept-encoding" not in dict(seen[-1]["headers"])


def test_a_page_has_its_style_and_the_room_of_its_sidebar_before_anything_is_drawn() -> None:
    views = Path(access.__file__).parents[1] / "views"
    beside = {path.stem for path in views.glob("*.py") if "with st.sidebar:" in path.read_text()}
    assert {"", *beside} == set(BESIDE)
    first = client().get("/", headers={"accept": "text/html"}).text
    other = client().get("/runs", headers={"accept": "text/html"}).text
    assert first.startswith('<html class="kd-beside">')
    assert other.startswith("<html>")
    assert all(name in page for page in (first, other) for name in ("page.css", "arrive.js"))


def test_a_file_that_somebody_takes_away_stays_as_it_is() -> None:
    kept = client(Access(base="/lab"))
    for path in ("/media/a.html", "/lab/media/a.html"):
        assert kept.get(path, headers={"accept": "text/html"}).text == "<html><head></head></html>"


def test_a_base_path_may_come_as_hubs_write_it() -> None:
    based = client(Access(base=base_path("/user/j%40doe/lab")))
    seen.clear()
    assert based.get("/user/j%40doe/lab/a%20b").status_code == 200
    assert (seen[0]["path"], seen[0]["raw_path"]) == ("/a b", b"/a%20b")


def test_frames_of_listed_sites_alone() -> None:
    headers = {"sec-fetch-dest": "iframe", "sec-fetch-site": "cross-site", "referer": "https://lms.example/course"}
    refused = client().get("/", headers=headers)
    assert refused.status_code == 403
    assert "`kdlab app --frame https://lms.example`" in refused.text
    assert "--frame" not in client().get("/", headers=headers | {"referer": "http://["}).text
    listed = client(Access(frames=("https://lms.example",)), "https://localhost")
    shown = listed.get("/", headers=headers)
    assert shown.headers["content-security-policy"].endswith("frame-ancestors 'self' https://lms.example")
    assert shown.headers["set-cookie"].endswith("SameSite=None; Secure; Partitioned")
    plain = client().get("/")
    assert plain.headers["content-security-policy"].endswith("frame-ancestors 'self'")
    assert "SameSite=lax" in plain.headers["set-cookie"]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("https://Hub.Example/", "https://hub.example"),
        ("https://hub.example:443", "https://hub.example"),
        ("http://lab:8501", "http://lab:8501"),
        ("http://[::1]:80", "http://[::1]"),
        ("https://例え.jp", "https://xn--r8jz45g.jp"),
    ],
)
def test_origins_are_written_as_browsers_do(text: str, meant: str) -> None:
    assert origin(text) == meant


@pytest.mark.parametrize(
    "text",
    [
        "hub.example",
        "*",
        "ftp://a",
        "https://",
        "https://a/b",
        "https://a:x",
        "http://[",
        "https://a?b",
        "https://*.example",
        "https://a; script-src *",
        "https://a b",
        "https://a#b",
        "https://u:p@a",
    ],
)
def test_what_is_no_origin_is_said(text: str) -> None:
    with pytest.raises(BadInput, match="is no origin; write scheme, host and port, such as"):
        read_access({"KDLAB_ORIGINS": f"https://hub.example,{text}"})


@pytest.mark.parametrize("text", ["/a?b", "/a//b", "/a#b", "/a/./b", "/a\nb"])
def test_what_is_no_base_path_is_said(text: str) -> None:
    with pytest.raises(BadInput, match="is no base path"):
        base_path(text)


def test_base_paths() -> None:
    assert [base_path(text) for text in ("", "/", "hub/lab", "/hub/lab/")] == ["", "", "/hub/lab", "/hub/lab"]
