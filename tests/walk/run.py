"""`make walk`: every page in every state is looked at, and each of its controls is used once.

By itself it presses in a wide, light window and looks at a narrow, dark one, which is each width and each theme once.
A line a fault; ends with 1 where there is one. ARGS choose: `--place REGEX` of "home: /path", `--look 390-dark`,
`--only REGEX` of controls, `--no-press`, `--full` (all four looks are pressed, and all controls that are alike),
`--deep` (a run that is not paused is pressed, too), `--part 2/4` (the second of four like parts), `--workers 2`,
`--seen FOLDER` for pictures of what was looked at.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1])]

from browsing import CHROMIUM, FLAGS, end_workers, served  # noqa: E402
from exempt import let_pass  # noqa: E402
from keeper import Keeper  # noqa: E402
from look import look  # noqa: E402
from playwright.sync_api import Browser, sync_playwright  # noqa: E402
from press import Presser  # noqa: E402
from states import HOMES, ME, MOVING, PLACES, Home, Place  # noqa: E402
from visit import Log, Look, visit  # noqa: E402

from app.live.tokens import COOKIE  # noqa: E402
from kdcore.jobs.store import Store  # noqa: E402

LOOKS = (Look(1280, "light"), Look(1280, "dark"), Look(390, "light"), Look(390, "dark"))
SHIFT = 0.1  # above it a page jumps; said, not judged
COOKIES = ((COOKIE, ME),)


class Part(NamedTuple):
    """A share of all looks: the `number`th of `count`."""

    number: int
    count: int

    @classmethod
    def read(cls, text: str) -> Part:
        """Read "2/4".

        Raises:
            ArgumentTypeError: it is no share.
        """
        found = re.fullmatch(r"([1-9]\d*)/([1-9]\d*)", text)
        if not found or int(found[1]) > int(found[2]):
            raise argparse.ArgumentTypeError(f"{text!r} is not a part such as 2/4")
        return cls(int(found[1]), int(found[2]))


class Task(NamedTuple):
    """One look at one place."""

    place: Place
    look: Look
    press: bool

    def __str__(self) -> str:
        return f"{self.place.home}: /{self.place.path} [{self.look}]"


class Told(NamedTuple):
    """What came of it."""

    task: Task
    faults: list[str]
    used: int
    gone: int
    shift: float
    took_s: float


class Host:
    """A worker's servers, one home at a time, and its browser."""

    def __init__(self, stack: ExitStack, known: Counter[str]) -> None:
        self.known = known
        player = stack.enter_context(sync_playwright())
        self.browser: Browser = stack.enter_context(
            closing(player.chromium.launch(executable_path=CHROMIUM, args=FLAGS))
        )
        self.home, self.address, self.name = Home(Path()), "", ""
        self._open = ExitStack()

    def go_to(self, name: str) -> None:
        """Serve a fresh home of that name, unless it is the one that is served."""
        if name == self.name:
            return
        self.leave()
        kind, self.name = HOMES[name], name
        folder = Path(self._open.enter_context(tempfile.TemporaryDirectory(prefix="walk-", ignore_cleanup_errors=True)))
        self.log = Log(folder / "server.log")
        (folder / "home").mkdir()
        self.home = kind.make(folder / "home")
        self._open.callback(end_workers, self.home.folder)
        serving = served(self.home.folder, kind.app, (HERE,), self.log.path, kind.slots)
        self.address = self._open.enter_context(serving)
        self.store = self._open.enter_context(closing(Store(self.home.folder)))

    def leave(self) -> None:
        """Stop the server."""
        self._open.close()
        self.name = ""

    def do(self, task: Task, ask: argparse.Namespace) -> Told:
        """Look at a place, and use its controls."""
        began = time.monotonic()
        self.go_to(task.place.home)
        path = task.place.path.format(**self.home.runs)
        still = task.place != MOVING
        with visit(self.browser, self.address, path, task.look, self.log, COOKIES, still) as page:
            self._ready(task.place)
            name = re.sub(r"\W+", "-", str(task)).strip("-")
            seen = look(page, Path(ask.seen) / f"{name}.png" if ask.seen else None)
            presser = Presser(page, Keeper(self.store), ask.full, lambda: self._ready(task.place))
            pressed = presser.faults(self.known, task.place.pressed, ask.only) if task.press else ()
            faults = [*judged(task, seen.faults), *judged(task, pressed)]
            if task.press and not ask.only and not presser.used:
                faults += judged(task, ["no control was found"])
        return Told(task, faults, presser.used, presser.gone, seen.shift, time.monotonic() - began)

    def _ready(self, place: Place) -> None:
        if place.ready:
            place.ready(self.store, self.home.runs["busy"])


class Queue:
    """Tasks that wait; a worker gets one in the home that it serves already, where there is one."""

    def __init__(self, tasks: list[Task]) -> None:
        self.tasks, self.lock = tasks, threading.Lock()

    def next(self, home: str) -> Task | None:
        """The next task, or None at the end."""
        with self.lock:
            place = next((k for k, task in enumerate(self.tasks) if task.place.home == home), 0)
            return self.tasks.pop(place) if self.tasks else None


def work(queue: Queue, known: Counter[str], ask: argparse.Namespace) -> list[Told]:
    """What one worker does until nothing is left."""
    done = []
    with ExitStack() as stack:
        host = Host(stack, known)
        stack.callback(host.leave)
        while task := queue.next(host.name):
            done.append(host.do(task, ask))
            tell(done[-1])
    return done


def judged(task: Task, faults: Iterable[str]) -> Iterator[str]:
    """The faults that have no reason to stand, each said at once and once."""
    known: set[str] = set()
    for fault in faults:
        if fault not in known and not let_pass(str(task), fault):
            known.add(fault)
            print(f"FAULT {task}: {fault}", flush=True)
            yield fault


def tell(told: Told) -> None:
    """A line a page."""
    shift = f", layout shift {told.shift:.2f}" if told.shift > SHIFT else ""
    gone = f", {told.gone} gone" if told.gone else ""
    print(f"{told.task}: {told.used} used{gone}, {told.took_s:.0f} s{shift}", flush=True)


def tasks(ask: argparse.Namespace) -> Iterator[Task]:
    """What is asked for: presses first, as they take longest."""
    places = [*PLACES, *([MOVING] if ask.deep else [])]
    wanted = [place for place in places if re.search(ask.place, f"{place.home}: /{place.path}")]
    usual = [one for one in LOOKS if ask.full or one in (LOOKS[0], LOOKS[-1])]
    looks = [one for one in LOOKS if f"{one.width}-{one.theme}" in ask.look] if ask.look else usual
    for one in looks:
        for place in wanted:
            yield Task(place, one, bool(place.pressed) and not ask.no_press and (ask.full or one == looks[0]))


def main() -> None:
    """Walk, and count."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--place", default="")
    ask.add_argument("--look", action="append")
    ask.add_argument("--only", default="")
    ask.add_argument("--no-press", action="store_true")
    ask.add_argument("--full", action="store_true")
    ask.add_argument("--deep", action="store_true")
    ask.add_argument("--part", type=Part.read, default=Part(1, 1))
    ask.add_argument("--workers", type=int, default=2)
    ask.add_argument("--seen")
    asked: Any = ask.parse_args()
    began = time.monotonic()
    queue, known = Queue([*tasks(asked)][asked.part.number - 1 :: asked.part.count]), Counter[str]()
    with ThreadPoolExecutor(asked.workers) as pool:
        done = [
            told
            for worker in [pool.submit(work, queue, known, asked) for _ in range(asked.workers)]
            for told in worker.result()
        ]
    count = sum(len(told.faults) for told in done)
    used = sum(told.used for told in done)
    print(f"{count} faults; {len(done)} looks, {used} controls used, {(time.monotonic() - began) / 60:.1f} min")
    sys.exit(bool(count) or not done)


if __name__ == "__main__":
    main()
