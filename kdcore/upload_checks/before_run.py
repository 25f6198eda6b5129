"""Whether an uploaded model suits a run, found out before the run starts, so that none is left that failed.

`python -m kdcore.upload_checks.before_run` reads service, data and access as JSON from stdin, opens the file as the run
will, asks it about nothing, and prints one line of JSON: {} or {"error": a sentence}. No torch is imported where that
is asked for.
"""

from __future__ import annotations

import json
import sys
from functools import lru_cache
from typing import Any

from kdcore.errors import BadInput
from kdcore.spec.catalogue import entry
from kdcore.spec.registry import DATA, TEACHERS
from kdcore.spec.spec import Spec
from kdcore.stdio_rpc import Answer, Gone, HelperProcess, answered
from kdcore.terminal import say

TIMEOUT_S = 300  # of the clock, beyond what the trial of a file takes at most


def check_file(spec: Spec) -> None:
    """Check that the uploaded file of a run's teacher, where it has one, can answer about its data what is asked of it.

    Raises:
        BadInput: it cannot.
    """
    if spec.service and entry("teacher", spec.service.name)["upload"]:
        choices = {"service": spec.service.model_dump(), "data": spec.data.model_dump(), "access": spec.access}
        _ask(json.dumps(choices))


@lru_cache(64)
def _ask(question: str) -> None:
    """Ask a process of its own, which holds what the file takes; what suited once is not asked again."""
    process = HelperProcess("kdcore.upload_checks.before_run", TIMEOUT_S, "The teacher's file")
    try:
        found = process.exchange(json.loads(question))
    except Gone as error:
        raise BadInput("The teacher's file could not be opened, as that crashed or took too long; try another.") from (
            error
        )
    finally:
        process.stop()
    if "error" in found:
        raise BadInput(found["error"])


def _suits(asked: Any) -> Answer:
    """Connect as a run does."""
    data, service = asked["data"], asked["service"]
    shape, classes = DATA[data["name"]](**data["knobs"]).signature()
    TEACHERS[service["name"]](**service["knobs"]).connect(shape, classes, asked["access"])
    return {}


if __name__ == "__main__":
    say(json.dumps(answered(sys.stdin.readline(), _suits)))
