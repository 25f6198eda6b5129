"""A server of the Open Inference Protocol in few lines, written apart from ours, that can be told to misbehave.

It is a matrix product behind HTTP, or stands before another server and passes on what that says. It logs the digest of
each image it was sent, and whether the answer went out whole.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain, repeat
from typing import Any, NamedTuple

import numpy as np

Answer = Callable[[np.ndarray], np.ndarray | dict[str, np.ndarray]]  # one output, or several by name
LENGTH = "Inference-Header-Content-Length"
DATATYPES = {"f4": "FP32", "u1": "UINT8", "u8": "UINT64", "i1": "INT8", "i2": "INT16", "i4": "INT32", "i8": "INT64"}


class Sent(NamedTuple):
    """One image that came."""

    digest: str
    trouble: str  # "" where it was answered well


class Faulty(ThreadingHTTPServer):
    """Answers from `answer`, but for the next requests as `troubles` say."""

    daemon_threads = True

    def __init__(self, answer: Answer, shape: tuple[int, ...], classes: int, upstream: str = "") -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer, self.shape, self.classes, self.upstream = answer, shape, classes, upstream
        self.troubles: Iterator[str] = repeat("")
        self.metadata: dict[str, Any] = {
            "name": "faulty",
            "inputs": [{"name": "pixels", "datatype": "FP32", "shape": [-1, *shape]}],
            "outputs": [{"name": "answers", "datatype": "FP32", "shape": [-1, classes]}],
        }
        self.extensions = ["binary_tensor_data"]
        self.log: list[Sent] = []
        self.requests: list[float] = []  # when each inference request came
        self.bytes_up = self.bytes_down = 0  # bodies of inference requests and of answers that went out whole

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def misbehave(self, *troubles: str, always: str = "") -> None:
        """What befalls the next requests, one after the other, and all that follow."""
        self.troubles = chain(troubles, repeat(always))

    @property
    def distinct(self) -> set[str]:
        return {one.digest for one in self.log}

    @property
    def answered(self) -> list[str]:
        return [one.digest for one in self.log if not one.trouble]


class _Handler(BaseHTTPRequestHandler):
    server: Faulty
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        if self.server.upstream:
            self._send(*self._passed_on("GET", b""))
        elif self.path == "/v2/health/ready":
            self._send(200, b"{}")
        elif self.path == "/v2":
            self._send(200, json.dumps({"name": "faulty", "extensions": self.server.extensions}).encode())
        elif self.path.startswith("/v2/models/faulty"):
            self._send(200, json.dumps(self.server.metadata).encode())
        else:
            self._send(404, b'{"error": "there is no such model"}')

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append(time.monotonic())
        self.server.bytes_up += len(body)
        images = self._images(body)
        trouble = next(self.server.troubles)
        digests = [hashlib.sha256(image.tobytes()).hexdigest() for image in images]
        self.server.log += [Sent(digest, trouble) for digest in digests]
        self._answer(images, body, trouble)

    def _answer(self, images: np.ndarray, body: bytes, trouble: str) -> None:
        if trouble.isdigit():
            refusals = {"429": {"Retry-After": "1"}, "302": {"Location": "http://192.0.2.1/v2"}}
            self._send(int(trouble), b'{"error": "not now,\\nplease"}', refusals.get(trouble, {}))
            return
        if trouble == "drop":
            self.close_connection = True
            return
        if trouble == "delay":
            time.sleep(0.4)
        if trouble == "garbage":
            self._send(200, b"\x00\xff no message at all")
            return
        if trouble == "chunk":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nabcde\r\n0\r\n\r\n")
            self.close_connection = True
            return
        if trouble == "noise":
            self.wfile.write(b"no HTTP at all\r\n\r\n")
            self.close_connection = True
            return
        status, content, more = self._passed_on("POST", body) if self.server.upstream else self._own(images, trouble)
        self._send(status, content, more, cut=trouble == "truncate")

    def _images(self, body: bytes) -> np.ndarray:
        length = int(self.headers.get(LENGTH) or len(body))
        (entry,) = json.loads(body[:length])["inputs"]
        values = np.frombuffer(body[length:], "<f4") if length < len(body) else np.array(entry["data"], "<f4")
        return values.reshape(entry["shape"])

    def _own(self, images: np.ndarray, trouble: str) -> tuple[int, bytes, dict[str, str]]:
        said = self.server.answer(images)
        several = said if isinstance(said, dict) else {"answers": said}
        tensors = {name: self._spoiled(one, trouble) for name, one in several.items()}
        entries: list[dict[str, Any]] = [
            {"name": name, "datatype": DATATYPES[one.dtype.str[1:]], "shape": list(one.shape)}
            for name, one in tensors.items()
        ]
        if LENGTH not in self.headers:
            told = [entry | {"data": one.tolist()} for entry, one in zip(entries, tensors.values(), strict=True)]
            return 200, json.dumps({"outputs": told}).encode(), {}
        for entry, one in zip(entries, tensors.values(), strict=True):
            entry["parameters"] = {"binary_data_size": one.nbytes}
        head = json.dumps({"outputs": entries}).encode()
        tail = b"".join(one.tobytes() for one in tensors.values())
        return 200, head + (tail[:-3] if trouble == "short" else tail), {LENGTH: str(len(head))}

    @staticmethod
    def _spoiled(told: np.ndarray, trouble: str) -> np.ndarray:
        told = told.astype("<f4") if told.dtype.kind == "f" else told
        if trouble == "nan":
            told[0, 0] = np.nan
        return told[: len(told) // 2] if trouble == "half" else told

    def _passed_on(self, method: str, body: bytes) -> tuple[int, bytes, dict[str, str]]:
        kept = {name: self.headers[name] for name in ("Content-Type", LENGTH) if name in self.headers}
        request = urllib.request.Request(self.server.upstream + self.path, body or None, kept, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                more = {name: reply.headers[name] for name in (LENGTH,) if name in reply.headers}
                return reply.status, reply.read(), more
        except urllib.error.HTTPError as error:
            return error.code, error.read(), {}

    def _send(self, status: int, body: bytes, more: dict[str, str] | None = None, cut: bool = False) -> None:
        self.send_response(status)
        for name, value in {**(more or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)
        self.close_connection = self.close_connection or cut
        if status == 200 and not cut and self.command == "POST":
            self.server.bytes_down += len(body)


@contextmanager
def serving(answer: Answer, shape: tuple[int, ...], classes: int, upstream: str = "") -> Iterator[Faulty]:
    """A faulty server on a free port of this machine."""
    with Faulty(answer, shape, classes, upstream) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()
