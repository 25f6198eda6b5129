"""`kdlab study`: does what is left of a study in a few processes side by side, and writes its table."""

from __future__ import annotations

import json
import queue
import threading
import time
from pathlib import Path
from typing import TextIO

from app.results.studies import commit, publish, published
from app.text.sending import check_sending
from kdcore.atomic import write_text
from kdcore.errors import BadInput
from kdcore.spec.catalogue import catalogue, home
from kdcore.stdio_rpc import Gone, HelperProcess
from kdcore.study.study import Row, Trial, load, read, trials
from kdcore.terminal import say, warn

Answer = tuple[Trial, Row | None]  # no row where the process died


def study(path: Path, jobs: int, table_only: bool, send_local: bool = False) -> None:
    """Do the study in a YAML file; its results go beside it, as JSON and as a table in Markdown.

    Raises:
        BadInput: the study cannot be read, has no results yet, or a process of it died; or one of its runs would send
            local images to a remote teacher to learn from, which `send_local` allows.
    """
    asked = read(path)
    catalogue()  # built once, before several processes would each build it
    kept = home() / "studies" / f"{asked.name}.jsonl"
    _recall(path, kept)
    began = time.monotonic()
    while not table_only and (left := [trial for trial in trials(asked, load(kept)) if trial.key not in load(kept)]):
        for trial in () if send_local else left:
            check_sending(trial.spec)
        _do(left, kept, jobs)
    rows = load(kept)
    found = [row for row in (rows.get(trial.key) for trial in trials(asked, rows)) if row]
    if not found:
        raise BadInput(f"Study {asked.name!r} has no results yet; run it without --table.")
    for written in publish(path, asked, found):
        say(written)
    warn(f"{len(found)} trials; this call took {(time.monotonic() - began) / 60:.0f} min.")


def _recall(path: Path, kept: Path) -> None:
    """Go on from the published results where this home has none of its own."""
    if path.with_suffix(".json").exists() and not kept.exists():
        rows = published(path.stem, path.parent).rows
        write_text(kept, "".join(json.dumps(row) + "\n" for row in rows))


def _do(left: list[Trial], kept: Path, jobs: int) -> None:
    """Do trials, each row kept as soon as it is there.

    Raises:
        BadInput: a process died.
    """
    kept.parent.mkdir(parents=True, exist_ok=True)
    waiting: queue.SimpleQueue[Trial] = queue.SimpleQueue()
    for trial in left:
        waiting.put(trial)
    answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
    processes = [_process() for _ in range(min(jobs, len(left)))]
    try:
        for process in processes:
            threading.Thread(target=_feed, args=(process, waiting, answers), daemon=True).start()
        kept.parent.mkdir(parents=True, exist_ok=True)
        with kept.open("a") as file:
            _collect(answers, file, len(left))
    finally:
        for process in processes:
            process.stop()


def _process() -> HelperProcess:
    """Return a process that does one trial at a time with one thread, however long that takes."""
    one_thread = {"KDLAB_THREADS": "1", "OMP_NUM_THREADS": "1"}
    return HelperProcess("kdcore.study.trials", threading.TIMEOUT_MAX, "The trial", one_thread)


def _feed(process: HelperProcess, waiting: queue.SimpleQueue[Trial], answers: queue.SimpleQueue[Answer]) -> None:
    """Hand trials to one process until none is left or it dies."""
    while not waiting.empty():
        try:
            trial = waiting.get_nowait()
        except queue.Empty:
            return
        try:
            answers.put((trial, process.exchange(trial.spec.model_dump(mode="json"))))
        except Gone:
            answers.put((trial, None))
            return


def _collect(answers: queue.SimpleQueue[Answer], file: TextIO, count: int) -> None:
    began, sources = time.monotonic(), commit()
    for done in range(1, count + 1):
        trial, row = answers.get()
        if row is None:
            raise BadInput(f"The process that did {trial.method} on {trial.task} died; run the study again to go on.")
        file.write(json.dumps(trial.place | {"commit": sources} | row) + "\n")
        file.flush()
        left_min = (time.monotonic() - began) / done * (count - done) / 60
        told = row.get("error") or f"{row['accuracy']:.1%}"
        warn(
            f"{done}/{count} · {left_min:.0f} min left · {trial.task} · {trial.method} · seed {trial.seed} · "
            f"{trial.budget}: {told}",
        )
