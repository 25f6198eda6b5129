"""One HTTP/1.1 connection to an allowed host: every byte is counted, and an exchange is over by its deadline.

KDLAB_HOSTS lists the hosts that may be called, host or host:port with commas between; without it only this machine.
No other host is looked up, no proxy of the environment is used and no redirect is followed.
"""

from __future__ import annotations

import http.client
import io
import os
import socket
import time
from collections.abc import Mapping
from typing import Any, NamedTuple, cast
from urllib.parse import urlsplit

from kdcore.errors import BadInput
from kdcore.untrusted import turning

HERE = ("localhost", "127.0.0.1", "[::1]")
LIMIT_BYTES = 256 << 20  # of an answer
IDLE_S = 2.0  # a connection that rested for longer is not trusted to be open any more


class Lost(Exception):
    """No whole answer came; the text says why."""


class Address(NamedTuple):
    """Where a server is."""

    secure: bool
    host: str
    port: int
    path: str  # without a slash at its end

    def __str__(self) -> str:
        name = f"[{self.host}]" if ":" in self.host else self.host
        return f"http{'s' if self.secure else ''}://{name}:{self.port}{self.path}"


class Reply(NamedTuple):
    """What a server said."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes


def address(url: str) -> Address:
    """Where a URL points to, if that host may be called.

    Raises:
        BadInput: it is no such URL, or its host is not allowed.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
        host = (parts.hostname or "").encode("idna").decode()
    except (ValueError, KeyError) as error:
        raise BadInput(f"{url[:120]!r} is no address of a server; give one such as http://localhost:8500.") from error
    if not host or parts.username or parts.password or parts.query or parts.fragment or not url.isprintable():
        raise BadInput(f"{url[:120]!r} must name a host, and no user or query; give one such as http://localhost:8500.")
    found = Address(parts.scheme == "https", host, port, parts.path.rstrip("/"))
    _check_allowed(found)
    return found


def _check_allowed(found: Address) -> None:
    allowed = [name.strip().lower() for name in os.environ.get("KDLAB_HOSTS", "").split(",") if name.strip()] or HERE
    name = f"[{found.host}]" if ":" in found.host else found.host
    if name not in allowed and f"{name}:{found.port}" not in allowed:
        raise BadInput(
            f"The host {name}:{found.port} may not be called, as only {', '.join(allowed)} may; add it to KDLAB_HOSTS, "
            "hosts with commas between, and start KD Lab again."
        )


class _Counted:
    """A socket as `http.client` uses one, that counts its bytes and gives up at a deadline."""

    def __init__(self, plain: socket.socket, deadline: float) -> None:
        self.plain, self.deadline = plain, deadline
        self.up = self.down = 0

    def _hurry(self) -> None:
        left_s = self.deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("it took too long")
        self.plain.settimeout(left_s)

    def sendall(self, content: Any) -> None:
        """Send bytes, or what a file-like body gives."""
        self._hurry()
        self.plain.sendall(content)
        self.up += len(content)

    def makefile(self, mode: str) -> io.BufferedReader:
        """Return what is received, as a file; the socket stays open for it even when it is closed meanwhile."""
        return io.BufferedReader(_Stream(self, self.plain.makefile("rb", buffering=0)))

    def received(self, stream: io.RawIOBase, room: Any) -> int | None:
        """How many bytes came, now in `room`."""
        self._hurry()
        count = stream.readinto(room)
        self.down += count or 0
        return count

    def close(self) -> None:
        """Close the socket."""
        self.plain.close()


class _Stream(io.RawIOBase):
    """The receiving end of one answer."""

    def __init__(self, counted: _Counted, stream: Any) -> None:
        self.counted, self.stream = counted, stream

    def readable(self) -> bool:
        """Answer yes."""
        return True

    def readinto(self, room: Any) -> int | None:
        """How many bytes came, now in `room`."""
        return self.counted.received(self.stream, room)

    def close(self) -> None:
        """Let go of the socket."""
        self.stream.close()
        super().close()


class Wire:
    """Exchanges with one server, one after the other, over one connection while it lasts.

    Args:
        place: where the server is.
        timeout_s: most seconds for one exchange, connecting included.
    """

    def __init__(self, place: Address, timeout_s: float) -> None:
        self._open: http.client.HTTPConnection | None = None
        self.place, self.timeout_s = place, timeout_s
        self.up = self.down = 0  # bytes so far, heads included; of TLS what is inside
        self._rests_since = 0.0

    def exchange(self, method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> Reply:
        """Send a request and wait for its answer.

        Raises:
            Lost: there was none, or not all of it.
        """
        deadline = time.monotonic() + self.timeout_s
        counted = None
        try:
            with turning(self._lost):  # http.client raises more than it documents, as ValueError at a chunk of -5 bytes
                counted = self._connected(deadline)
                reply = self._asked(method, path, headers, body)
        finally:
            if counted:
                self.up, self.down = self.up + counted.up, self.down + counted.down
                counted.up = counted.down = 0
            self._rests_since = time.monotonic()
        return reply

    def _lost(self, error: Exception) -> Lost:
        self.close()
        return Lost(_reason(error))

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        if self._open:
            self._open.close()
        self._open = None

    def _connected(self, deadline: float) -> _Counted:
        """Return the socket of an open connection."""
        if self._open and (self._open.sock is None or time.monotonic() - self._rests_since > IDLE_S):
            self.close()
        if self._open is None:
            kind = http.client.HTTPSConnection if self.place.secure else http.client.HTTPConnection
            self._open = kind(self.place.host, self.place.port, timeout=self.timeout_s)
            self._open.connect()
            self._open.sock = cast(socket.socket, _Counted(self._open.sock, deadline))
        counted = cast(_Counted, self._open.sock)
        counted.deadline = deadline
        return counted

    def _asked(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        assert self._open
        plain = {"Accept-Encoding": "identity", "Content-Length": str(len(body))} if body else {}
        self._open.request(method, self.place.path + path, body or None, {**plain, **headers})
        answer = self._open.getresponse()
        content = answer.read(LIMIT_BYTES)
        if len(content) == LIMIT_BYTES and answer.read(1):
            raise http.client.HTTPException(f"the answer has more than {LIMIT_BYTES >> 20} MB")
        if answer.length:  # `read` does not mind that fewer bytes came than were announced
            raise http.client.IncompleteRead(content, answer.length)
        found = {name.lower(): value for name, value in answer.getheaders()}
        if answer.will_close:
            self.close()
        return Reply(answer.status, found, content)


def _reason(error: Exception) -> str:
    """Why an exchange was lost, in a few words."""
    if isinstance(error, http.client.RemoteDisconnected):
        return "the connection was dropped"
    if isinstance(error, http.client.IncompleteRead):
        return "the answer was cut off"
    if isinstance(error, TimeoutError):
        return "it took too long"
    if isinstance(error, (http.client.BadStatusLine, http.client.LineTooLong)):
        return "the answer was no HTTP"
    if isinstance(error, OSError):
        return (error.strerror or str(error) or type(error).__name__).lower()
    return str(error) or type(error).__name__
