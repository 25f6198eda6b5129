"""Does the trials of a study in a process of its own: a spec a line on stdin, what came out a line on stdout.

Teachers are trained once and kept below `home()`/teachers under the hash of their spec; a lock keeps two processes
from training the same one. Trials are alone in their process, one thread each, so that several of them share a machine
evenly.
"""

from __future__ import annotations

import fcntl
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean
from typing import Any

from kdcore.device import give_back
from kdcore.engine.train import train
from kdcore.events import Event, Finished, Frame, Meter, Started, Step
from kdcore.runs.bill import bill
from kdcore.spec.catalogue import home
from kdcore.spec.spec import Spec, parse
from kdcore.stdio_rpc import answered, serve
from kdcore.study.study import METRICS, Row


def trial(spec: Spec) -> Row:
    """Run a spec, its teachers first where they are not kept: steps, seconds a step, and how good it is on the test
    split.

    Raises:
        BadInput: it cannot be run, or its loss stopped being finite.
    """
    try:
        with tempfile.TemporaryDirectory() as folder:
            return _told(spec, Path(folder))
    finally:
        give_back()


def _told(spec: Spec, folder: Path) -> Row:
    """Return what the events of one run come to. A step is timed from the student's first loss point to its last, by
    the processor's clock where it runs on one, so that what else the machine does counts for little.

    Its notes are the method's, averaged, what was measured last, and what was asked of a teacher behind a wall.
    """
    points: list[tuple[float, Step]] = []
    clock = time.process_time
    result: dict[str, float] = {}
    measured: dict[str, float] = {}
    for event in _events(spec, folder):
        if isinstance(event, Started) and event.device != "cpu":
            clock = time.perf_counter
        elif isinstance(event, Step):
            points.append((clock(), event))
        elif isinstance(event, Frame):
            measured = event.notes
        elif isinstance(event, Finished):
            result = event.result
            measured |= _asked(spec, event.meter) if event.meter else {}
    points = [point for point in points if not point[1].lead] or points
    (began, first), (ended, last) = points[0], points[-1]
    row: Row = {"steps": last.step, "step_s": (ended - began) / max(1, last.step - first.step)}
    named = {metric: result.get(f"student_{metric}", result.get(metric)) for metric in METRICS}
    row |= {metric: value for metric, value in named.items() if value is not None}
    row |= {"teacher_accuracy": result["teacher_accuracy"]} if "teacher_accuracy" in result else {}
    return row | {"notes": {name: fmean(step.notes[name] for _, step in points) for name in last.notes} | measured}


def _asked(spec: Spec, meter: Meter) -> dict[str, float]:
    """Return what was counted, and what it cost in dollars."""
    counted = {name: count for name, count in meter.model_dump().items() if count is not None}
    return counted | {"dollars": bill(spec, meter).dollars}


def _events(spec: Spec, folder: Path) -> Iterator[Event]:
    taught: dict[str, Any] = {"teacher_weights": _weights(spec.teacher)} if spec.teacher else {}
    taught |= {"start_weights": _weights(spec.start)} if spec.start else {}
    return train(spec, folder, **taught, mentor_weights=[_weights(mentor) for mentor in spec.mentors])


def _weights(spec: Spec) -> Path:
    """Return the weights of a teacher, trained here where nobody has yet."""
    folder = home() / "teachers" / spec.hash
    path = folder / "student.safetensors"
    with _alone(folder.with_suffix(".lock")):
        if not path.exists():
            for _ in _events(spec, folder):
                pass
    return path


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold a lock that the system gives back when the process ends, however it does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main() -> None:
    """Answer every spec on stdin with a row, or with {"error": one sentence}."""
    serve(lambda line: answered(line, lambda spec: trial(parse(spec))))


if __name__ == "__main__":
    main()
