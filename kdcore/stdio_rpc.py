"""Processes of our own that hold what this one must not (torch, an uploaded file): one line of JSON a request on their
stdin, one a response on their stdout; they end with their stdin."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout, suppress
from pathlib import Path
from threading import Lock, Timer
from typing import IO, Any

from kdcore.errors import BadInput
from kdcore.terminal import say

Answer = dict[str, Any]
PACKAGE = Path(__file__).parents[1]


class Gone(Exception):
    """The process ended before or amid its response; says the last line that it wrote to stderr."""


def spawn(
    module: str,
    *arguments: str,
    stderr: IO[bytes] | int,
    environment: Mapping[str, str] | None = None,
    new_session: bool = False,
) -> subprocess.Popen[bytes]:
    """Start `python -m module` of this installation, with pipes for stdin and stdout; CUDA survives no fork."""
    path = os.pathsep.join([str(PACKAGE), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        env={**os.environ, "PYTHONPATH": path, **(environment or {})},
        start_new_session=new_session,
    )


class HelperProcess:
    """A process that answers one request at a time; it is started by the first, and again when it has died.

    Args:
        module: what it runs, which calls `serve`.
        timeout_s: after which a request ends it.
        what: what cannot be computed, as the beginning of a sentence.
        environment: variables of its own.
    """

    def __init__(self, module: str, timeout_s: float, what: str, environment: Mapping[str, str] | None = None) -> None:
        self.module, self.timeout_s, self.what = module, timeout_s, what
        self._environment = environment
        self._lock = Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes] | None = None

    def ask(self, request: Mapping[str, Any]) -> Answer:
        """Return the response to one request.

        Raises:
            BadInput: the helper says what is wrong with it, or gives no response.
        """
        try:
            answer = self.exchange(request)
        except Gone as error:
            raise BadInput(f"{self.what} could not be computed ({error}); any change tries it again.") from error
        if "error" in answer:
            raise BadInput(answer["error"])
        return answer

    def exchange(self, request: Mapping[str, Any]) -> Answer:
        """Return the response as it came.

        Raises:
            Gone: there is none.
        """
        with self._lock:
            process = self._alive()
            timer = Timer(self.timeout_s, process.kill)
            timer.daemon = True
            timer.start()
            line = _exchange(process, json.dumps(request).encode())
            timer.cancel()
            if not line.endswith(b"\n"):
                raise Gone(self._end())
        answer: Answer = json.loads(line)
        return answer

    def stop(self) -> None:
        """End the process, if there is one, whatever it does."""
        if process := self._process:
            process.kill()  # whoever waits for its response gives up now
        with self._lock:
            self._end()

    def _alive(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is not None:
            self._end()
        if self._process is None:
            self._errors = tempfile.TemporaryFile()  # noqa: SIM115  a pipe could fill up and stop it
            self._process = spawn(self.module, stderr=self._errors, environment=self._environment)
        return self._process

    def _end(self) -> str:
        """End it; the last line that it wrote to stderr."""
        if self._process is None or self._errors is None:
            return ""
        self._process.kill()
        with suppress(OSError), self._process:  # closes its pipes and waits for it
            pass
        with self._errors as file:
            file.seek(0)
            said = file.read().decode(errors="replace").strip().splitlines()
        self._process = self._errors = None
        return said[-1] if said else "it took too long"


def _exchange(process: subprocess.Popen[bytes], request: bytes) -> bytes:
    """One line there and one back; b"" where the process has gone."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(request + b"\n")
        process.stdin.flush()
        return process.stdout.readline()
    except OSError:
        return b""


# In the process itself


def answered(line: str, answer: Callable[[Any], Answer]) -> Answer:
    """Return the response to one request; what a person can mend stands in it as "error", anything else is raised."""
    try:
        return answer(json.loads(line))
    except BadInput as error:
        return {"error": str(error)}


def serve(answer: Callable[[str], Answer]) -> None:
    """Answer every line until stdin ends."""
    for line in sys.stdin:
        with redirect_stdout(sys.stderr):  # what a library prints is no response
            response = json.dumps(answer(line))
        say(response, flush=True)
