"""A run for others: its record in a folder, or its student as a server, which needs torch."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import get_args

from app.text.consent import LEFT_OUT
from kdcore.contracts.access import Access
from kdcore.errors import BadInput
from kdcore.jobs.rows import TERMINAL
from kdcore.jobs.states import WORDS
from kdcore.jobs.store import Store
from kdcore.runs.private_rows import walled
from kdcore.terminal import say, warn

GRADES = tuple(grade for grade in get_args(Access) if grade != "white_box")


def export_run(run_id: str, place: Path, real: bool) -> None:
    """Write a run's record, and say where it lies and whether rows of an edge were left out.

    Raises:
        BadInput: there is no such run, or it cannot be written there.
    """
    store = Store()
    say(store.export(run_id, place, real))
    if not real and walled(store.get(run_id).spec):
        warn(LEFT_OUT)


def import_run(place: Path) -> None:
    """Keep a record, and say which run it is.

    Raises:
        BadInput: there is none that can be read, or its run was made here.
    """
    say(Store().take(place, TERMINAL).id)


def serve_run(run_id: str, access: str, host: str, port: int) -> None:
    """Serve a run's weights until Ctrl-C; this process is replaced, so that every signal reaches the server.

    Raises:
        BadInput: there is no such run, it is not done, or the grade of access is none.
    """
    store = Store()
    run = store.get(run_id)
    store.close()
    if access not in GRADES:
        raise BadInput(f"A served run grants {', '.join(GRADES[:-1])} or {GRADES[-1]}, but got {access!r}; choose one.")
    if run.state != "done" or not run.weights.exists():
        raise BadInput(f"Run {run_id} is {WORDS[run.state]}, and only a finished run with its weights can be served.")
    words = [str(run.weights), "--name", run_id, "--access", access, "--host", host, "--port", str(port)]
    words += ["--spec", run.spec.model_dump_json()]
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "kdcore.remote.server", *words])
