"""The curves of a method, from a process of its own, since this one never loads torch.

The helper is started when the first curve is wanted, kept warm, and ends with its stdin, hence with the server.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from threading import Lock, Timer
from typing import IO, Any

from kdcore.errors import BadInput
from kdcore.explain.examples import Example, Kind
from kdcore.spec import catalogue

MODULE = "kdcore.explain.loss_curves"
PATIENCE_S = 60.0  # the first answer waits for torch to be imported
REMEMBERED = 512
ROOT = Path(__file__).parents[2]


class Helper:
    """One process that answers one request at a time; started when asked, and again when it has died."""

    def __init__(self, module: str = MODULE, patience_s: float = PATIENCE_S, what: str = "The example") -> None:
        self.module, self.patience_s, self.what = module, patience_s, what
        self._lock = Lock()
        self._process: subprocess.Popen[str] | None = None
        self._errors: IO[bytes] | None = None

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to one request.

        Raises:
            BadInput: the helper says what is wrong with it, or gives no answer.
        """
        with self._lock:
            process = self._alive()
            timer = Timer(self.patience_s, process.kill)
            timer.start()
            line = _exchange(process, json.dumps(request))
            timer.cancel()
            if not line.endswith("\n"):  # it ended before or amid its answer
                raise BadInput(f"{self.what} could not be computed ({self._end()}); any change tries it again.")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise BadInput(answer["error"])
        return answer

    def stop(self) -> None:
        """End the process, if there is one, whatever it does."""
        if process := self._process:
            process.kill()  # whoever waits for its answer gives up now
        with self._lock:
            self._end()

    def _alive(self) -> subprocess.Popen[str]:
        if self._process is not None and self._process.poll() is not None:
            self._end()
        if self._process is None:
            self._errors = tempfile.TemporaryFile()  # noqa: SIM115  a pipe could fill up and stop it
            path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
            self._process = subprocess.Popen(
                [sys.executable, "-m", self.module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env={**os.environ, "PYTHONPATH": path},
                encoding="utf-8",
            )
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


def _exchange(process: subprocess.Popen[str], request: str) -> str:
    """One line there and one back; "" where the process has gone."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(f"{request}\n")
        process.stdin.flush()
        return process.stdout.readline()
    except OSError:
        return ""


helper = Helper()


def kinds(method: Mapping[str, Any]) -> tuple[Kind, ...]:
    """The examples in which a method of the catalogue can be shown, the most telling first."""
    if {"features", "blocks", "gradients"} & set(method["needs"]):
        return ("features",)
    return ("two", "five", "features")


def curves(name: str, knobs: Mapping[str, Any], example: Example) -> dict[str, Any]:
    """What `kdcore.explain.loss_curves` computes of one method in one example; not to be changed.

    Raises:
        BadInput: why it cannot be shown.
    """
    if example.kind not in (known := kinds(catalogue.entry("method", name))):
        example = example.model_copy(update={"kind": known[0]})
    return _curves(name, json.dumps(knobs, sort_keys=True), example)


@lru_cache(REMEMBERED)
def _curves(name: str, knobs: str, example: Example) -> dict[str, Any]:
    asked = {"method": name, "knobs": json.loads(knobs), "example": example.model_dump()}
    found: dict[str, Any] = helper.ask(asked)["curves"]
    return found
