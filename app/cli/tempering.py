"""`kdlab export RUN FILE --temperature`: the process becomes the one that writes the weights, which needs torch."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from kdcore.errors import BadInput
from kdcore.jobs.store import Store

AUTO = "auto"


def temper(run_id: str, out: Path, temperature: str) -> None:
    """Write a finished run's student with a temperature in its weights; this process is replaced.

    Raises:
        BadInput: there is no such run, it is not done, the temperature is no number, or the file is there.
    """
    store = Store()
    run = store.get(run_id)
    store.close()
    if run.state != "done" or not run.weights.exists():
        raise BadInput(
            f"Run {run_id} is {run.state}, and only a finished run with its weights has a student to export."
        )
    if out.exists():
        raise BadInput(f"{out} is there already; choose another name.")
    words = [str(run.folder), str(out), "--spec", run.spec.model_dump_json(), "--temperature", _number(temperature)]
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "kdcore.tempered", *words])


def _number(temperature: str) -> str:
    if temperature != AUTO:
        try:
            float(temperature)
        except ValueError:
            raise BadInput(f"A temperature is a number or {AUTO!r}, but got {temperature[:40]!r}.") from None
    return temperature
