"""A process that examines two models: `python -m kdcore.comparison.worker` answers a line of JSON with one.

A request is {"task", "folder", "asked", "sends"}, an answer {"told"} or {"error"}; `sends` says that who asks may have
a run's remote teacher sent images, as far as the question allows it. Tasks are the files of `kdcore/comparison/tasks`.
What a long one has measured lies in the case's folder afterwards, and <task>.json there says how far it is.
"""

from __future__ import annotations

import time
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from kdcore.comparison.case import Progress, tell
from kdcore.comparison.tasks.pair import pair_of
from kdcore.errors import BadInput, unknown
from kdcore.runs.record import write_arrays
from kdcore.stdio_rpc import Answer, answered, serve

TASKS = Path(__file__).parent / "tasks"
TELL_S = 0.2  # least time between two words on how far it is


def answer(line: str) -> Answer:
    """The answer to one request; what a person can mend is told in it, anything else is raised."""
    return answered(line, _asked)


def _asked(request: dict[str, Any]) -> Answer:
    name, folder, asked = request["task"], Path(request["folder"]), request.get("asked", {})
    known = [path.stem for path in TASKS.glob("[!_]*.py") if path.stem != "pair"]
    if name not in known:
        raise unknown("task", name, known)
    task, sends = import_module(f"kdcore.comparison.tasks.{name}"), request.get("sends") is True
    if hasattr(task, "answer"):
        return {"told": task.answer(pair_of(folder, sends), asked)}
    _work(name, folder, asked, task.work, sends)
    return {"told": None}


def _work(name: str, folder: Path, asked: dict[str, Any], work: Any, sends: bool) -> None:
    """A task that takes long; its progress stands beside what it measures."""
    told_at, said = 0.0, ""

    def report(what: str, share: float) -> None:
        nonlocal told_at, said
        if what != said or time.monotonic() > told_at + TELL_S:
            told_at, said = time.monotonic(), what
            tell(folder, name, Progress(state="working", share=min(1.0, share), says=what))

    tell(folder, name, Progress(says="reading data and models"))
    try:
        found = work(pair_of(folder, sends), asked, report)
    except BadInput as error:
        tell(folder, name, Progress(state="failed", says=str(error)))
        raise
    if found is not None:
        write_arrays(folder / f"{name}.npz", found, compress=False)
    tell(folder, name, Progress(state="done", share=1.0))


if __name__ == "__main__":
    torch.set_num_threads(1)
    serve(answer)
