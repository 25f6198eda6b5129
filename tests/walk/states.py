"""Homes to walk through: runs of every kind of data and in every state, made of the recorded ones within seconds."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from kdcore.contracts.control import Command
from kdcore.events import Event
from kdcore.jobs.exchange import Recorded, load
from kdcore.jobs.rows import Run
from kdcore.jobs.store import Store
from kdcore.spec.lineage import recommended

ME, STRANGER = "a" * 32, "b" * 32  # names of browsers
DEMOS = Path(__file__).parents[2] / "assets" / "demo"
FILES_OF_RECORD = ("run.json", "events.jsonl")
LEISURE = 20.0  # steps a second of the run under way
CRASH = "RuntimeError: the loss is not a number at step 583; a smaller learning rate may help."


@dataclass
class Home:
    """A folder of runs, and their ids by the names that places use."""

    folder: Path
    runs: dict[str, str] = field(default_factory=dict)


def stock(folder: Path) -> Home:
    """A home with one's own runs on 2-D data, digits and 50 classes, a failed one, a waiting one and a stranger's."""
    home = Home(folder)
    with closing(Store(folder)) as store:
        for name, demo, owner in (
            ("digits", "mekd-soft", ME),
            ("fifty", "coloured-digits", ME),
            ("strange", "spirals", STRANGER),
            ("flat", "spirals", ME),
        ):
            home.runs[name] = _done(store, load(DEMOS / demo), owner).id
        home.runs["failed"] = _failed(store, load(DEMOS / "spirals")).id
        home.runs["waiting"] = store.submit(recommended("moons", "kd", seed=7), ME).id
    home.runs |= {name: load(DEMOS / name).id for name in ("spirals", "coloured-digits", "mekd-soft", "mekd-hard")}
    return home


def _done(store: Store, recorded: Recorded, owner: str) -> Run:
    """A run of one's own that went as the recorded one did."""
    return _told(store, recorded, owner, [heard.event for heard in recorded.told])


def _failed(store: Store, recorded: Recorded) -> Run:
    """A run that broke off half way."""
    told = [heard.event for heard in recorded.told if heard.event.step <= recorded.steps // 2]
    run = _told(store, recorded, ME, told)
    store.move(run.id, "failed", message=CRASH, traceback="")
    return run


def _told(store: Store, recorded: Recorded, owner: str, told: list[Event]) -> Run:
    run = store.submit(recorded.spec, owner, fresh=True)
    store.claim(os.getpid(), run.id)
    shutil.copytree(recorded.folder, run.folder, ignore=shutil.ignore_patterns(*FILES_OF_RECORD), dirs_exist_ok=True)
    store.append(run.id, told)
    return run


def bare(folder: Path) -> Home:
    """A home where nothing is yet; `bare.py` keeps the recorded runs away from it, too."""
    return Home(folder)


def busy(folder: Path) -> Home:
    """A home in which a run is under way, once a server hands it to a worker."""
    home = Home(folder)
    with closing(Store(folder)) as store:
        spec = recommended("moons", "kd")
        long = spec.schedule.model_copy(update={"steps": 20_000})
        home.runs["busy"] = store.submit(spec.model_copy(update={"schedule": long}), ME).id
    return home


def pause(store: Store, run_id: str) -> None:
    """Bring a run under way, and have it wait at a step of its own."""
    go_on(store, run_id)
    if not store.get(run_id).paused:
        store.command(run_id, Command("pause"), ME)
        _wait(lambda: store.get(run_id).paused, "paused")


def go_on(store: Store, run_id: str) -> None:
    """Bring a run under way, past its teacher and its first frames."""
    run = store.get(run_id)
    if run.state not in ("queued", "running"):
        store.resume(run_id, ME)
    elif run.paused:
        store.command(run_id, Command("resume"), ME)
    store.command(run_id, Command("speed", LEISURE), ME)
    _wait(lambda: store.get(run_id).step > 0, "under way")


def _wait(there: Callable[[], bool], what: str) -> None:
    for _ in range(1200):
        if there():
            return
        time.sleep(0.1)
    raise AssertionError(f"The run is not {what} after two minutes.")


class Kind(NamedTuple):
    """A home of one kind."""

    make: Callable[[Path], Home]
    app: str
    slots: int


class Place(NamedTuple):
    """A page in a state."""

    home: str
    path: str
    pressed: tuple[str, ...] = ("main",)  # parts of the page whose controls are used
    ready: Callable[[Store, str], None] | None = None  # what is done with the run under way before the page is loaded


ALL = ("frame", "main")
HOMES = {
    "bare": Kind(bare, "bare:app", 0),
    "stocked": Kind(stock, "app.asgi:app", 0),
    "busy": Kind(busy, "app.asgi:app", 1),
}
SECTIONS = ("where", "sample", "why", "slices", "boundary", "calibration", "inside", "draw")
PLACES = (
    Place("busy", "?run={busy}", ready=pause),
    *(Place("stocked", f"inspector?student={{coloured-digits}}&section={section}") for section in SECTIONS),
    Place("stocked", "", ALL),
    Place("stocked", "?run={flat}"),
    Place("stocked", "?run={fifty}"),
    Place("stocked", "?run={digits}"),
    Place("stocked", "?run={strange}"),
    Place("stocked", "?run={failed}"),
    Place("stocked", "?run={waiting}"),
    Place("stocked", "?data=points"),
    Place("stocked", "blackbox", ALL),
    Place("stocked", "blackbox?run={digits}"),
    Place("stocked", "inspector", ALL),
    *(Place("stocked", f"inspector?student={{spirals}}&section={section}") for section in ("where", "boundary")),
    *(Place("stocked", f"inspector?student={{digits}}&section={section}") for section in ("sample", "draw")),
    Place("stocked", "methods", ALL),
    Place("stocked", "methods?method=dkd&example=five"),
    Place("stocked", "methods?method=at&example=features"),
    Place("stocked", "runs", ALL),
    Place("stocked", "runs?compare={flat},{strange}"),
    Place("stocked", "runs?compare={flat},{digits}"),
    Place("stocked", "runs?deleted=true"),
    Place("stocked", "library", ALL),
    Place("stocked", "library?q=temperature&status=runs+here"),
    *(Place("bare", path) for path in ("", "blackbox", "inspector", "runs")),
    *(Place("bare", path, ()) for path in ("methods", "library")),  # the same as beside runs
)
MOVING = Place("busy", "?run={busy}&seed=1", ready=go_on)  # pressed with --deep: what moves by itself is no answer
