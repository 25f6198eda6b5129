"""Looks at a page: boxes measured, axe-core's rules, layout shift."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from playwright.sync_api import TimeoutError
from visit import Visit

AXE = """async () => (await axe.run(document, {resultTypes: ["violations"]})).violations.flatMap(({id, nodes}) =>
  nodes.map(({target, html, any, all, none}) => {
    const place = /data-testid="(\\w+)"/.exec(html)?.[1] ?? target.flat().at(-1);
    return [id, place, [...any, ...all, ...none][0]?.message ?? ""];
  }))"""
SHOWN = 3  # places a rule is shown at
WORKED = """() => ![...document.querySelectorAll(".kd-card:not([hidden]) .kd-lacks")].some((said) =>
  said.checkVisibility() && said.parentElement.dataset.empty === "lacks" && said.textContent.endsWith("…"))"""


class Looked(NamedTuple):
    """What a page looks like."""

    faults: list[str]
    shift: float  # layout shift while it was loaded, in Chromium's unit


@cache
def axe() -> str:
    """axe-core's script, which a package brings, so nothing is asked of another host."""
    return files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")


def look(visit: Visit, picture: Path | None = None) -> Looked:
    """Open a page and measure it, folded and unfolded; a picture of it is left where one is wanted."""
    visit.open()
    wait(visit)
    shift = float(visit.page.evaluate("walk.shift.worth"))
    folded = visit.page.evaluate("walk.boxes()")
    visit.unfold()
    wait(visit)
    found = [*dict.fromkeys([*folded, *visit.page.evaluate("walk.boxes()")])]
    with tall(visit):
        found += [*rules(visit), *visit.faults()]
        if picture:
            visit.page.screenshot(path=picture)
    return Looked(found, shift)


def wait(visit: Visit) -> None:
    """Wait until no card says that its numbers are being computed; one that never ends is looked at as it is."""
    with suppress(TimeoutError):
        visit.page.wait_for_function(WORKED)
    visit.settle()


@contextmanager
def tall(visit: Visit) -> Iterator[None]:
    """The page in a window that holds all of it, as axe-core passes over what is out of sight."""
    before = visit.page.viewport_size
    assert before
    visit.page.set_viewport_size(visit.page.evaluate("walk.whole()"))
    visit.settle()
    yield
    visit.page.set_viewport_size(before)


def rules(visit: Visit) -> list[str]:
    """axe-core's violations, a line a rule and reason."""
    visit.page.evaluate(axe())
    found: dict[str, list[str]] = {}
    for rule, place, message in visit.page.evaluate(AXE):
        found.setdefault(f"axe {rule}", []).append(f"{place[-90:]} ({message[:160]})")
    return [f"{rule}: {len(all_)} such as {'; '.join(all_[:SHOWN])}" for rule, all_ in found.items()]
