"""From opening a page or clicking to a picture, and what viewers cost the server, in chromium and seconds of CPU.

A server of its own over an empty home is started for each question.
"""

from __future__ import annotations

import json
import os
import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Browser, Page, sync_playwright
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from app.live.tokens import issue
from app.panels import panels
from kdcore.contracts.control import Audience
from kdcore.jobs.desk import attend
from kdcore.jobs.store import Store
from kdcore.spec.lineage import recommended
from kdcore.spec.spec import Watch
from tests.bench import opening
from tests.bench.opening import lab
from tests.browsing import CHROMIUM, FLAGS

CLICKS = 3
VIEWERS, VIEWER_HZ, WATCHED_S = 200, 5.0, 10.0
BLOCKS, WINDOW_S, SETTLE_S = 5, 2.0, 1.0  # of watched and unwatched windows; a block has two of each
WARM_S = 12.0  # a server left alone that long has a warm worker
Row = dict[str, Any]

# Resolves with the milliseconds from the next click on Run until a card shows something of the run it started.
STOPWATCH = """() => new Promise((found) => {
  const old = new Set([...document.querySelectorAll(".kd-card")].map((card) => card.dataset.run));
  let clicked = null;
  addEventListener("pointerdown", () => { clicked ??= performance.now(); }, { capture: true, once: true });
  const look = () => {
    const fresh = [...document.querySelectorAll(".kd-card[data-run]:not([data-empty])")].some(
      (card) => clicked !== null && !old.has(card.dataset.run) && Number(card.dataset.updates) > 0);
    if (fresh) found(performance.now() - clicked); else requestAnimationFrame(look);
  };
  look();
})"""


def _open(browser: Browser, url: str) -> Page:
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    page.goto(url)
    page.wait_for_selector(".kd-card[data-run]", timeout=60_000)
    return page


def _click(page: Page) -> float:
    """Seconds from a click on Run to the first picture of the run it starts."""
    page.evaluate(f"() => {{ window.kdStopwatch = ({STOPWATCH})(); }}")
    page.get_by_role("button", name="Run").first.click()
    return float(page.evaluate("() => window.kdStopwatch")) / 1000


def _row(what: str, value: float, limit: float, unit: str, at_least: bool = False) -> Row:
    return {"what": what, "value": value, "at least" if at_least else "at most": limit, "unit": unit}


def clicks(browser: Browser) -> Iterator[Row]:
    """Click to first picture: right after a server start, and with a warm worker."""
    times = []
    for seed in range(CLICKS):
        with lab() as (url, *_):
            page = _open(browser, f"{url}/?data=moons&seed={seed}")
            if seed == 0:
                yield _row("click to first live picture, right after a server start", _click(page), 6.0, "s")
                page.goto(f"{url}/?data=moons&seed=99")
                page.wait_for_selector(".kd-card[data-run]")
            time.sleep(WARM_S)
            times.append(_click(page))
            page.close()
    yield _row("click to first live picture, warm worker (median)", statistics.median(times), 0.5, "s")


def field_rate(browser: Browser) -> Iterator[Row]:
    """Pictures of the decision field a second in one browser while a run trains."""
    with lab() as (url, *_):
        page = _open(browser, f"{url}/?data=moons&schedule.steps=200000")
        time.sleep(WARM_S)
        _click(page)
        time.sleep(8)  # its teacher is trained meanwhile
        count = "() => Number(document.querySelector('[data-panel=field]').dataset.updates)"
        before, began = page.evaluate(count), time.perf_counter()
        time.sleep(WATCHED_S)
        rate = (page.evaluate(count) - before) / (time.perf_counter() - began)
        page.close()
    yield _row("decision field 100 x 100 of teacher and student, one browser", rate, 20.0, "frames/s", at_least=True)


def watched() -> Iterator[Row]:
    """Steps of a run while one viewer watches, over those while nobody does; through the whole server.

    Windows follow each other as alone, watched, watched, alone, so that a drift falls on both sides. Of the ratios of
    neighbours the median is reported, from the second lowest to the second highest: of 10 pairs, that range holds the
    true median with a probability of 98 %. Steps a second of the worker's CPU time say what watching costs the worker
    itself, where other programs keep the cores busy, too.
    """
    with lab() as (url, _, _, home):
        viewer, store, spec = "f" * 32, Store(home), recommended("moons")
        endless = {"schedule": spec.schedule.model_copy(update={"steps": 2_000_000}), "watch": Watch(points=10_000)}
        run = store.submit(spec.model_copy(update=endless), viewer).id
        while not store.get(run).step:  # its teacher is trained first
            time.sleep(1.0)
        time.sleep(SETTLE_S)
        every = list(panels())
        sets = {"every panel at 2 Hz": [name for name in every if name != "field"], "and the field at 25 Hz": every}
        for (what, names), limit in zip(sets.items(), (0.97, 0.8), strict=True):
            pairs = [pair for _ in range(BLOCKS) for pair in _watched_pairs(url, viewer, store, run, names)]
            for unit, ratios in zip(("second", "second of its CPU time"), zip(*pairs, strict=True), strict=True):
                found = sorted(ratios)
                row = {"what": f"moons over the server, steps a {unit}, {what} / unwatched", "at least": limit}
                yield row | {"ratio": statistics.median(found), "from": found[1], "to": found[-2]}


def _watched_pairs(url: str, viewer: str, store: Store, run: str, names: list[str]) -> Iterator[tuple[float, float]]:
    """Watched over unwatched of two pairs of windows: steps a second, and steps a second of the worker's CPU time."""
    alone, ends = _rates(store, run), threading.Event()
    who = threading.Thread(target=_look, args=(url, issue(viewer), viewer, run, [0], 0, ends, names), daemon=True)
    who.start()
    time.sleep(SETTLE_S)
    seen = [_rates(store, run) for _ in range(2)]
    ends.set()
    who.join()
    attend(store.get(run).folder, Audience())  # or the worker would know in three seconds
    time.sleep(SETTLE_S)
    for one, other in zip(seen, (alone, _rates(store, run)), strict=True):
        yield one[0] / other[0], one[1] / other[1]


def _rates(store: Store, run: str) -> tuple[float, float]:
    """Steps a second, and a second of the worker's CPU time, over a window."""
    pid, heard = store.get(run).pid, len(store.events(run, limit=None))
    assert pid is not None
    began, used = time.time(), _cpu_s(pid)
    time.sleep(WINDOW_S)
    ended, used = time.time(), _cpu_s(pid) - used
    points: list[tuple[float, int]] = []
    while not points or points[-1][0] < ended:  # between two points steps follow evenly
        points = [(one.at, one.event.step) for one in store.events(run, max(0, heard - 1), None)]
        time.sleep(0.05)
    ats, steps = zip(*points, strict=True)
    done = float(np.diff(np.interp([began, ended], ats, steps))[0])
    return done / (ended - began), done / used


def crowd() -> Iterator[Row]:
    """CPU time of the server while many viewers watch the field of one run."""
    with lab() as (url, _, pid, home):
        viewer = "f" * 32
        spec = recommended("moons")
        store = Store(home)
        run = store.submit(
            spec.model_copy(update={"schedule": spec.schedule.model_copy(update={"steps": 500_000})}), viewer
        )
        time.sleep(WARM_S + 5)
        counts = [0] * VIEWERS
        ends = threading.Event()
        threads = [
            threading.Thread(target=_look, args=(url, issue(viewer), viewer, run.id, counts, place, ends), daemon=True)
            for place in range(VIEWERS)
        ]
        for thread in threads:
            thread.start()
        time.sleep(5)
        seen, used, began = sum(counts), _cpu_s(pid), time.perf_counter()
        time.sleep(WATCHED_S)
        took = time.perf_counter() - began
        share, rate = (_cpu_s(pid) - used) / took, (sum(counts) - seen) / took / VIEWERS
        ends.set()
    yield _row(f"{VIEWERS} viewers: field pictures each", rate, VIEWER_HZ, "frames/s", at_least=True)
    yield _row(
        f"{VIEWERS} viewers: server, share of one core for every {VIEWER_HZ:.0f} Hz", share * VIEWER_HZ / rate, 0.15, ""
    )


def _look(
    url: str, token: str, viewer: str, run: str, counts: list[int], place: int, ends: threading.Event,
    names: Sequence[str] = ("field",),
) -> None:  # fmt: skip
    """One viewer of some panels who counts what arrives as bytes."""
    address = url.replace("http", "ws") + "/api/live"
    with connect(address, origin=url, additional_headers={"Cookie": f"kdlab_viewer={viewer}"}) as wire:  # type: ignore[arg-type]
        wire.send(json.dumps({"op": "hello", "token": token}))
        for key, name in enumerate(names, start=1):
            wire.send(json.dumps({"op": "watch", "key": key, "run": run, "panel": name, "view": {}}))
        with suppress(ConnectionClosed):  # the server ends before its viewers do
            while not ends.is_set():
                counts[place] += isinstance(wire.recv(), bytes)


def _cpu_s(pid: int) -> float:
    """CPU seconds a process has used, its ended children apart."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rows() -> Iterator[Row]:
    """Every figure of this file."""
    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield from opening.starts()
        yield from opening.pages(browser)
        yield from clicks(browser)
        yield from field_rate(browser)
        browser.close()
    yield from watched()
    yield from crowd()
