"""What a helper process does: it answers each line of JSON on stdin with one on stdout, and ends with its stdin."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Any

from kdcore.errors import BadInput
from kdcore.terminal import say

Answer = dict[str, Any]


def answered(line: str, answer: Callable[[Any], Answer]) -> Answer:
    """The answer to one request; what a person can mend is told in it as "error", anything else is raised."""
    try:
        return answer(json.loads(line))
    except BadInput as error:
        return {"error": str(error)}


def serve(answer: Callable[[str], Answer]) -> None:
    """Answer every line until stdin ends."""
    for line in sys.stdin:
        with redirect_stdout(sys.stderr):  # what a library says is no answer
            told = json.dumps(answer(line))
        say(told, flush=True)
