"""Runs an uploaded ONNX file in a process of its own for as long as it is asked: the limits of its trial hold for every
answer, so a file that loops, or takes all memory, on some images alone ends itself and nobody else.

`python -m kdcore.teachers._apart FILE OUTPUT` says that it is open, then answers arrays until stdin ends: each way a
line of JSON with dtype, shape and the number of bytes, and the bytes.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any
from weakref import finalize

import numpy as np

from kdcore.errors import BadInput
from kdcore.stdio_rpc import spawn
from kdcore.teachers import _trial
from kdcore.teachers._trial import MEMORY_BYTES, PATIENCE_S, TIME_S

ANSWER_BYTES = 256 << 20  # of one answer


class Apart:
    """A file that is open in a process of its own, which ends with this object.

    Args:
        path: the file, which has passed its trial.
        output: the name of the output that counts.

    Raises:
        BadInput: it can no longer be opened.
    """

    def __init__(self, path: Path, output: str) -> None:
        self._process = spawn(__name__, str(path), output, stderr=subprocess.DEVNULL)
        self.patience_s: float = PATIENCE_S
        self._lock = threading.Lock()
        self._end = finalize(self, _end, self._process)
        self._timed(self._told)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Return what it answers to images.

        Raises:
            BadInput: it fails, or takes too much time or memory; it is not asked again after that.
        """
        with self._lock:
            found: np.ndarray | None = self._timed(lambda: self._asked(images))
        assert found is not None
        return found

    def _asked(self, images: np.ndarray) -> np.ndarray | None:
        assert self._process.stdin
        _send(self._process.stdin, images)
        return self._told()

    def _told(self) -> np.ndarray | None:
        assert self._process.stdout
        return _received(self._process.stdout)

    def _timed(self, work: Callable[[], np.ndarray | None]) -> np.ndarray | None:
        """Do it, and end the process where that takes too long."""
        alarm = threading.Timer(self.patience_s, self._process.kill)
        alarm.daemon = True
        alarm.start()
        try:
            return work()
        except BadInput:
            raise
        except (OSError, EOFError, ValueError) as error:  # ValueError: it was stopped before
            self._end()
            raise BadInput(
                f"The ONNX file crashed or took more than {TIME_S} s or {MEMORY_BYTES >> 30} GB over an answer, so it "
                "was stopped; give a smaller model."
            ) from error
        finally:
            alarm.cancel()


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream:
            with suppress(OSError):  # what was to be written found nobody
                stream.close()


def _send(stream: IO[bytes], array: np.ndarray | None, **more: str) -> None:
    facts: dict[str, Any] = {"dtype": "uint8", "shape": [0], "bytes": 0}
    if array is not None:
        facts = {"dtype": str(array.dtype), "shape": array.shape, "bytes": array.nbytes}
    stream.write(json.dumps({**facts, **more}).encode() + b"\n")
    if array is not None:
        stream.write(np.ascontiguousarray(array).data)
    stream.flush()


def _received(stream: IO[bytes]) -> np.ndarray | None:
    """Return the next array.

    Raises:
        BadInput: a sentence came in its place.
        EOFError: nothing more comes.
    """
    line = stream.readline()
    if not line:
        raise EOFError
    facts = json.loads(line)
    if "error" in facts:
        raise BadInput(facts["error"])
    content = stream.read(facts["bytes"])
    if len(content) < facts["bytes"]:
        raise EOFError
    return np.frombuffer(content, facts["dtype"]).reshape(facts["shape"])


def serve(path: Path, output: str) -> None:
    """Open a file and answer what comes, until nothing more does."""
    opened: list[Any] = []
    _trial.limit(path.stat().st_size)
    _say(lambda: opened.append(_opened(path)))
    while opened:
        try:
            images = _received(sys.stdin.buffer)
        except EOFError:
            return
        _say(lambda images=images: _trial.answer(opened[0], images, output)[0])  # type: ignore[misc]


def _opened(path: Path) -> Any:
    content = path.read_bytes()
    _trial.check(content)
    return _trial.session(content)


def _say(make: Callable[[], np.ndarray | None]) -> None:
    """Send what is made within the time there is, or the sentence on why it could not be."""
    _trial.allow()
    found, told = None, {}
    try:
        found = make()
        if found is not None and found.nbytes > ANSWER_BYTES:
            raise BadInput(f"The ONNX file answers with {found.nbytes >> 20} MB at once; give a smaller model.")
    except BadInput as error:
        found, told = None, {"error": str(error)}
    except MemoryError:
        told = {"error": f"The ONNX file needs more than {MEMORY_BYTES >> 30} GB of memory; give a smaller model."}
    _send(sys.stdout.buffer, found, **told)


def main() -> None:
    """Serve the file that the command line names."""
    serve(Path(sys.argv[1]), sys.argv[2])


if __name__ == "__main__":
    main()
