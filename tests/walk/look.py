"""Looks at a page: boxes measured, axe-core's rules, layout shift."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import NamedTuple

from visit import Visit

AXE = """async () => (await axe.run(document, {resultTypes: ["violations"]})).violations.flatMap(({id, nodes}) =>
  nodes.map(({target, html, any, all, none}) => {
    const place = /data-testid="(\\w+)"/.exec(html)?.[1] ?? target.flat().at(-1);
    return [id, place, [...any, ...all, ...none][0]?.message ?? ""];
  }))"""
SHOWN = 3  # places a rule is shown at


class Looked(NamedTuple):
    """What a page looks like."""

    faults: list[str]
    shift: float  # layout shift while it was loaded, in Chromium's unit


@cache
def axe() -> str:
    """axe-core's script, which a package brings, so nothing is asked of another host."""
    return files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")


def look(visit: Visit) -> Looked:
    """Open a page and measure it, folded and unfolded."""
    visit.open()
    shift = float(visit.page.evaluate("walk.shift.worth"))
    folded = visit.page.evaluate("walk.boxes()")
    visit.unfold()
    found = [*dict.fromkeys([*folded, *visit.page.evaluate("walk.boxes()")]), *rules(visit), *visit.faults()]
    return Looked(found, shift)


def rules(visit: Visit) -> list[str]:
    """axe-core's violations, a line a rule and reason."""
    visit.page.set_viewport_size(visit.page.evaluate("walk.whole()"))  # axe-core passes over what is out of sight
    visit.settle()
    visit.page.evaluate(axe())
    found: dict[str, list[str]] = {}
    for rule, place, message in visit.page.evaluate(AXE):
        found.setdefault(f"axe {rule}", []).append(f"{place[-90:]} ({message[:160]})")
    return [f"{rule}: {len(all_)} such as {'; '.join(all_[:SHOWN])}" for rule, all_ in found.items()]
