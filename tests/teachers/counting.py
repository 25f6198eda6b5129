"""A teacher in a process of its own that counts what it receives: `python counting.py SIDE CLASSES [TROUBLE ...]`.

It prints its URL. TROUBLEs befall its first requests, one after the other, "-" being none. GET /counts tells the
digests of all images that came, as sent and as bytes, and the requests and bytes of their bodies.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, NamedTuple

import numpy as np
from faulty import Faulty, _Handler


class Received(NamedTuple):
    """What came so far."""

    images: list[str]  # digests as they were sent
    pixels: list[str]  # digests of the same rounded to bytes
    requests: int
    bytes_up: int


class _Counting(_Handler):
    pixels: ClassVar[list[str]] = []

    def do_GET(self) -> None:  # noqa: N802  the name is the library's
        if self.path != "/counts":
            super().do_GET()
            return
        server = self.server
        facts = [[one.digest for one in server.log], self.pixels, len(server.requests), server.bytes_up]
        self._send(200, json.dumps(facts).encode())

    def _images(self, body: bytes) -> np.ndarray:
        found = super()._images(body)
        self.pixels += [digest_of(image) for image in found]
        return found


def digest_of(image: np.ndarray) -> str:
    """The digest of values from 0 to 1 as bytes."""
    return hashlib.sha256((image * 255).round().astype(np.uint8).tobytes()).hexdigest()


def answer(side: int, classes: int) -> Any:
    """A fixed linear map to probabilities."""
    weight = np.random.default_rng(0).normal(size=(side * side, classes)).astype("<f4")

    def told(images: np.ndarray) -> np.ndarray:
        logits = images.reshape(len(images), -1) @ weight
        odds = np.exp(logits - logits.max(1, keepdims=True))
        return odds / odds.sum(1, keepdims=True)  # type: ignore[no-any-return]

    return told


class Counting(NamedTuple):
    """A server that runs."""

    url: str

    def received(self) -> Received:
        with urllib.request.urlopen(f"{self.url}/counts", timeout=60) as reply:
            return Received(*json.loads(reply.read()))


@contextmanager
def counting(side: int, classes: int, *troubles: str) -> Iterator[Counting]:
    """The server until the block ends."""
    line = [sys.executable, __file__, str(side), str(classes), *troubles]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield Counting(process.stdout.readline().strip())
        finally:
            process.terminate()
            process.wait(30)


def main(side: int, classes: int, *troubles: str) -> None:
    with Faulty(answer(side, classes), (1, side, side), classes) as server:
        server.RequestHandlerClass = _Counting
        server.misbehave(*(trouble.strip("-") for trouble in troubles))
        print(server.url, flush=True)
        server.serve_forever(0.01)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
