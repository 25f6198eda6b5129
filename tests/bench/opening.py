"""How soon a page is there, beside an empty Streamlit page in the same browser, and how far it jumps meanwhile.

Every opening is the first of a fresh browser context, so nothing comes from the browser's cache. The empty page is
served by `streamlit run`; both sides take turns, and the medians are compared.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

from playwright.sync_api import Browser

from tests.browsing import end_workers, free_port, wait_for

ROUNDS, SHIFTS = 5, 2
CALM_MS, LIMIT_MS = 500, 60_000  # a page that has not moved for so long is at rest
PAGES = ("", "blackbox", "inspector", "methods", "runs", "library")
WALK = Path(__file__).parents[1] / "walk" / "page.js"
Row = dict[str, Any]

# Before any script of the page: sums what jumps by itself, and notes when the first card shows something of a run.
OBSERVE = """(() => {
  window.opening = { shift: 0, picture: null };
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) if (!entry.hadRecentInput) opening.shift += entry.value;
  }).observe({ type: "layout-shift", buffered: true });
  const look = () => {
    const cards = document.querySelectorAll(".kd-card[data-run]:not([data-empty])");
    if ([...cards].some((card) => Number(card.dataset.updates) > 0)) opening.picture = performance.now();
    else requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
})()"""


class Opened(NamedTuple):
    """One opening: seconds until the page rests and until its first picture, and its layout shift."""

    rest: float
    picture: float | None
    shift: float


@contextmanager
def started(command: Sequence[str], health: str, home: str = "") -> Iterator[tuple[str, float, int]]:
    """The address of a server, the seconds until it answered, and its process id.

    Args:
        command: starts it; {port} stands for a free port.
        health: the path that answers once it listens.
        home: the home of its runs, if it keeps any; it is this process's, too.
    """
    port = free_port()
    words = [word.format(port=port) for word in command]
    began = time.perf_counter()
    with (
        patch.dict(os.environ, KDLAB_HOME=home),
        subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process,
    ):
        try:
            wait_for(f"http://127.0.0.1:{port}/{health}")
            yield f"http://127.0.0.1:{port}", time.perf_counter() - began, process.pid
        finally:
            process.terminate()
            process.wait()


@contextmanager
def lab() -> Iterator[tuple[str, float, int, Path]]:
    """A Lab over a home that never was: its address, start, process id and home."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        command = [sys.executable, "-m", "app.cli", "app", "--port", "{port}", "--no-open"]
        with started(command, "api/health", home) as (url, took, pid):
            try:
                yield url, took, pid, Path(home)
            finally:
                end_workers(Path(home))


@contextmanager
def empty() -> Iterator[tuple[str, float]]:
    """A Streamlit server whose one page holds one word: its address and start."""
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "page.py"
        page.write_text('import streamlit as st\n\nst.write("Empty")\n')
        options = ("--server.port={port}", "--server.headless=true", "--browser.gatherUsageStats=false")
        with started(
            [sys.executable, "-m", "streamlit", "run", str(page), *options], "_stcore/health"
        ) as (url, took, _):  # fmt: skip
            yield url, took


def opened(browser: Browser, url: str, width: int = 1280, moves: bool = False) -> Opened:
    """Open a page in a fresh context until it rests; a recorded run plays by itself where motion is welcome."""
    motion: Any = "no-preference" if moves else "reduce"
    with closing(browser.new_context(viewport={"width": width, "height": 900}, reduced_motion=motion)) as context:
        context.add_init_script(path=WALK)
        context.add_init_script(OBSERVE)
        page = context.new_page()
        page.goto(url)
        rest = page.evaluate(f"walk.settle({CALM_MS}, {LIMIT_MS}).then(() => performance.now() - {CALM_MS})")
        found = page.evaluate("window.opening")
    return Opened(rest / 1000, found["picture"] and found["picture"] / 1000, found["shift"])


def starts() -> Iterator[Row]:
    """The first start of a Lab over a new home, beside that of an empty Streamlit server."""
    pairs = []
    for _ in range(ROUNDS):
        with empty() as (_, bare):
            pass
        with lab() as (_, took, _, _):
            pairs.append((took, bare))
    yield from _compared("first start of a server over a new home", pairs, 4.0)


def pages(browser: Browser) -> Iterator[Row]:
    """Each page until it rests, the Lab's first picture, and layout shifts in a wide and a narrow window."""
    with lab() as (url, *_), empty() as (bare, _):
        opened(browser, url), opened(browser, bare)  # what is read only once
        for path in PAGES:
            name = path.capitalize() or "Lab"
            pairs = [(opened(browser, f"{url}/{path}"), opened(browser, bare)) for _ in range(ROUNDS)]
            yield from _compared(f"{name} at rest", [(ours.rest, its.rest) for ours, its in pairs], 3.0)
            if not path:  # an opening without a picture took as long as was waited for it
                pictures = [(ours.picture or LIMIT_MS / 1000, its.rest) for ours, its in pairs]
                yield from _compared("the Lab's first picture, beside the empty page at rest", pictures, 1.5)
            for width in (1280, 390):
                shifts = [opened(browser, f"{url}/{path}", width, moves=True).shift for _ in range(SHIFTS)]
                row = {"what": f"{name}: layout shift at {width} px", "value": statistics.median(shifts)}
                yield row | {"from": min(shifts), "to": max(shifts), "at most": 0.1}


def _compared(what: str, pairs: Sequence[tuple[float, float]], limit: float) -> Iterator[Row]:
    """Seconds against a limit, and how many times those of the empty page, with the range over the rounds."""
    ours = [one for one, _ in pairs]
    ratios = [one / other for one, other in pairs]
    spread = {"from": min(ours), "to": max(ours)}
    yield {"what": what, "value": statistics.median(ours), "unit": "s", **spread, "at most": limit}
    yield {"what": f"{what} / empty", "ratio": statistics.median(ratios), "from": min(ratios), "to": max(ratios)}
