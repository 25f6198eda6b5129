"""Which hosts are called, and what an exchange costs and how it ends."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from kdcore.errors import BadInput
from kdcore.remote import http_client
from kdcore.remote.http_client import Lost, Wire, address

Patch = pytest.MonkeyPatch


@pytest.fixture(autouse=True)
def no_hosts(monkeypatch: Patch) -> None:
    monkeypatch.delenv("KDLAB_HOSTS", raising=False)


@contextmanager
def saying(*replies: bytes, again: int = 1) -> Iterator[tuple[str, list[bytes]]]:
    """A server that reads a request and says one of `replies`, then hangs up or, for `again` requests, goes on."""
    heard: list[bytes] = []

    def answer() -> None:
        for reply in replies:
            with listening.accept()[0] as caller:
                for _ in range(again):
                    heard.append(caller.recv(65536))
                    caller.sendall(reply)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", heard
        thread.join(5)


def wired(url: str, timeout_s: float = 5.0) -> Wire:
    return Wire(address(url), timeout_s)


def test_every_byte_is_counted_over_a_connection_that_is_kept() -> None:
    reply = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    with saying(reply, again=2) as (url, heard):
        one = wired(url)
        assert [one.exchange("GET", "/x", {"A": "b"}).body for _ in range(2)] == [b"ok", b"ok"]
        assert one.down == 2 * len(reply)
        assert one.up == sum(map(len, heard))
        one.close()


@pytest.mark.parametrize(
    ("reply", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", b"ok"),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", b"until the end"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    ],
)
def test_bodies_of_every_kind(reply: bytes, body: bytes) -> None:
    with saying(reply) as (url, _):
        assert wired(url).exchange("GET", "/", {}).body == body


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (b"", "the connection was dropped"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok", "the answer was cut off"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nok", "the answer was cut off"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "the answer was no HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n", "the answer was no HTTP"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", "got more than 100 headers"),
    ],
)
def test_what_is_no_whole_answer(reply: bytes, reason: str) -> None:
    with saying(reply) as (url, _), pytest.raises(Lost, match=reason):
        wired(url).exchange("GET", "/", {})


def test_an_answer_without_end_is_left_unread(monkeypatch: Patch) -> None:
    monkeypatch.setattr(http_client, "LIMIT_BYTES", 1000)
    endless = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000
    with saying(endless) as (url, _), pytest.raises(Lost, match="more than"):
        wired(url).exchange("GET", "/", {})


def dripping(caller: socket.socket) -> None:
    with caller:
        caller.recv(1000)
        try:
            while True:
                caller.sendall(b"H")
                threading.Event().wait(0.02)
        except OSError:
            return


def test_a_server_that_says_a_byte_at_a_time_is_cut_off_at_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=lambda: dripping(listening.accept()[0]), daemon=True)
        thread.start()
        with pytest.raises(Lost, match="took too long"):
            wired(f"http://127.0.0.1:{listening.getsockname()[1]}", 0.3).exchange("GET", "/", {})
        thread.join(5)


# --- hosts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com", "https://10.0.0.1:8500/x", "http://localhost.evil.test", "http://127.0.0.2", "http://[::2]",
        "http://0.0.0.0:80", "http://2130706433",
    ],
)  # fmt: skip
def test_other_hosts_are_refused_before_anything_is_opened(monkeypatch: Patch, url: str) -> None:
    calls: list[Callable[..., object]] = []
    for name in ("socket", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, lambda *_, **__: calls.append(_))
    with pytest.raises(BadInput, match=r"may not be called, as only localhost, 127\.0\.0\.1, \[::1\] may"):
        address(url)
    assert calls == []


@pytest.mark.parametrize(
    "url",
    ["localhost:8500", "ftp://localhost", "http://", "http://me:word@localhost", "http://localhost/?q", "http://localhost:x",
     "http://localhost:99999", "http://local\nhost", "file:///etc/passwd", ""],
)  # fmt: skip
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(BadInput, match="give one such as http://localhost:8500") as caught:
        address(url)
    assert "\n" not in str(caught.value)


def test_the_environment_allows_other_hosts(monkeypatch: Patch) -> None:
    monkeypatch.setenv("KDLAB_HOSTS", "cloud.example:8443, Plain.example ,[fd00::1]:9")
    assert str(address("https://cloud.example:8443/base/")) == "https://cloud.example:8443/base"
    assert str(address("http://plain.example")) == "http://plain.example:80"
    assert str(address("http://[fd00::1]:9")) == "http://[fd00::1]:9"
    for url in ("https://cloud.example", "http://localhost", "http://[fd00::1]"):
        with pytest.raises(BadInput, match="may not be called"):
            address(url)


def test_no_proxy_is_used(monkeypatch: Patch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with saying(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as (url, heard):
        assert wired(url).exchange("GET", "/here", {}).status == 200
        assert heard[0].startswith(b"GET /here ")
