"""How fast the Inspector opens, and answers a brush, in chromium: cases that lie on disk already, made of chance.

A case opens when every card in sight is drawn; a brush is answered when every card in sight is drawn anew. Payloads are
what came over the live socket.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Page, sync_playwright

from app.live.routes import SCRIPTS
from kdcore.comparison.case import About, Side, write_about
from kdcore.runs.record import write_arrays
from tests.bench.opening import Row, lab
from tests.browsing import CHROMIUM, FLAGS

CLASSES, BRUSHES = 100, 5
OPEN_S, BRUSH_S = 2.0, 0.2
ROWS = (10_000, 50_000)
SECTIONS = {  # by what is measured
    "where": "section=where",
    "embedding": "section=boundary&knobs=boundary%3Dembedding",
    "calibration": "section=calibration",
}
SEEN = "[...document.querySelectorAll('.kd-card')].filter((card) => card.getBoundingClientRect().top < innerHeight)"
DRAWN = (
    f"() => {{ const seen = {SEEN}; return seen.length && seen.every((card) => Number(card.dataset.updates) > 0); }}"
)

# Resolves with the milliseconds from a change of the selection until the last card was drawn anew, once all are quiet.
BRUSH = """async ([scripts, select]) => {
  const { wire } = await import(`${location.origin}${scripts}/wire.js`);
  const began = performance.now();
  let last = null;
  const watch = new MutationObserver(() => { last = performance.now(); });
  for (const card of document.querySelectorAll(".kd-card")) watch.observe(card, { attributeFilter: ["data-updates"] });
  wire.look({ select }, true);
  return new Promise((done) => {
    const look = () => {
      const now = performance.now();
      if (last !== null && now > last + 1500) { watch.disconnect(); done(last - began); }
      else if (now > began + 20000) done(NaN);
      else setTimeout(look, 50);
    };
    look();
  });
}"""


def made(home: Path, rows: int) -> str:
    """A case of `rows` rows and 100 classes, with pictures; its id."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES, rows)
    teacher = 2 * rng.normal(size=(rows, CLASSES)) + 5 * np.eye(CLASSES)[labels] * (rng.random((rows, 1)) < 0.8)
    student = 0.7 * teacher + rng.normal(size=(rows, CLASSES))
    folder = home / "cases" / f"case-{rows:012d}"
    logits = {"student_logits": student.astype(np.float32), "teacher_logits": teacher.astype(np.float32)}
    write_arrays(folder / "rows.npz", {"labels": labels, **logits}, compress=False)
    np.save(folder / "pictures.npy", rng.integers(0, 256, (rows, 3, 32, 32), dtype=np.uint8))
    write_arrays(folder / "columns.npz", {"brightness": rng.random(rows)}, compress=False)
    names = tuple(f"class {k}" for k in range(CLASSES))
    write_about(folder, About(classes=names, student=Side(title="S"), teacher=Side(title="T"), shape=(3, 32, 32)))
    return folder.name


def rows() -> Iterator[Row]:
    """Opening and brushing, for 10,000 and 50,000 rows of 100 classes."""
    with lab() as (address, _, _, home), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for count in ROWS:
            case_id = made(home, count)
            for section, query in SECTIONS.items():
                page = browser.new_page(viewport={"width": 1400, "height": 1000})
                yield from _measured(page, f"{address}/inspector?case={case_id}&{query}", count, section)
                page.close()
        browser.close()


def _measured(page: Page, url: str, count: int, section: str) -> Iterator[Row]:
    """One section: opened twice, of which the second counts, as the first one imports; then brushed."""
    sizes: list[int] = []
    page.on(
        "websocket",
        lambda socket: "/api/live" in socket.url and socket.on("framereceived", lambda data: sizes.append(len(data))),
    )
    opened = [_opened(page, url) for _ in range(2)][1]
    limit = {"at most": OPEN_S} if count == ROWS[0] else {}
    yield {
        "what": f"{section}, {count:,} rows: from the address to every card in sight",
        "value": opened,
        "unit": "s",
    } | limit
    sizes.clear()
    told = [_brushed(page, place) for place in range(BRUSHES + 1)][1:]
    limit = {"at most": BRUSH_S} if count == ROWS[0] else {}
    spread = {"from": min(told), "to": max(told)}
    yield (
        {"what": f"{section}, {count:,} rows: a brush", "value": statistics.median(told), "unit": "s"} | spread | limit
    )
    kilobytes = sum(sizes) / len(told) / 1000
    yield {"what": f"{section}, {count:,} rows: over the socket at each brush", "value": kilobytes, "unit": "kB"}


def _opened(page: Page, url: str) -> float:
    began = time.perf_counter()
    page.goto(url)
    page.wait_for_function(DRAWN)
    return time.perf_counter() - began


def _brushed(page: Page, place: int) -> float:
    select = f"box.logits={-1 - place / 5},{1 + place / 5},-1,1"
    found: Any = page.evaluate(BRUSH, [SCRIPTS, select])
    return float(found) / 1000
