"""The controls of a page: which there are, which of them are used, and how."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple
from urllib.parse import urlsplit

from exempt import is_used, most, once
from playwright.sync_api import ElementHandle, Page

CLICK_MS = 4000
OPTIONS = "[role=option]"
# Another value of a field: one step further, or back from its greatest; where any will do, a little less.
OTHER = """e => {
  if (e.type === "color") return e.value === "#ff0000" ? "#0000ff" : "#ff0000";
  if (e.type !== "number") return e.value === "a" ? "b" : "a";
  if (e.step === "any") return String(Number((0.9 * Number(e.value) || Number(e.max) / 2).toPrecision(3)));
  const step = Number(e.step) || 1, now = Number(e.value), up = Number((now + step).toPrecision(6));
  return String(e.max !== "" && up > Number(e.max) ? Number((now - step).toPrecision(6)) : up);
}"""


class Control(NamedTuple):
    """A control, as it is found again after the page was loaded anew."""

    kind: str  # a key of HOW
    name: str
    group: str  # the nearest key that the page gave
    place: int  # among those that are alike in all this
    frame: str  # "frame" for the sidebar and the bar of pages, or "main"
    testid: str
    href: str
    folds: bool

    @property
    def said(self) -> str:
        """Kind and name, and where a link leads that leaves KD Lab."""
        host = urlsplit(self.href).hostname
        return f"{self.kind} {self.name}{f' {self.href}' if host and host != '127.0.0.1' else ''}"

    def __str__(self) -> str:
        return f"{self.kind} “{self.name}”"


def controls(page: Page, within: str = "document") -> list[Control]:
    """The controls that can be used now; they stand in `walk.controls` in this order."""
    count: Counter[tuple[str, ...]] = Counter()
    found = []
    for one in page.evaluate(f"walk.find({within})"):
        key = (one["kind"], one["name"], one["group"])
        found.append(Control(*key, count[key], one["frame"], one["testid"], one["href"], one["folds"]))
        count[key] += 1
    return found


def chosen(found: list[Control], page: str, known: Counter[str], full: bool) -> Iterator[Control]:
    """Those that are used: of many alike, some; what folds comes last, as it takes others out of sight.

    Args:
        found: the controls of a place.
        page: the page's own path.
        known: how often those that are used once a page were used before.
        full: whether of many alike all are used.
    """
    count: Counter[str] = Counter()
    for control in sorted(found, key=lambda one: one.folds):
        alike = re.sub(r"\d+", "#", f"{control.group} {control.kind} {control.name}")
        pattern, limit = most(alike)
        books, key = (known, f"{page} {alike}") if once(alike) else (count, pattern)
        books[key] += 1
        if is_used(control.said) and (full or books[key] <= (1 if once(alike) else limit)):
            yield control


def use(kind: str, element: ElementHandle, page: Page) -> None:
    """Use a control as a person does."""
    if kind == "choose":
        _choose(element, page)
    else:
        HOW[kind](element)


def _press(element: ElementHandle) -> None:
    element.click(timeout=CLICK_MS, no_wait_after=True)


def _draw(element: ElementHandle) -> None:
    box = element.bounding_box() or {"width": 0.0, "height": 0.0}
    element.click(timeout=CLICK_MS, position={"x": 0.4 * box["width"], "y": 0.4 * box["height"]})


def _toggle(element: ElementHandle) -> None:
    label = element.evaluate_handle("e => e.closest('label') ?? e").as_element()
    assert label
    label.click(timeout=CLICK_MS, position={"x": 8, "y": 10})


def _slide(element: ElementHandle) -> None:
    element.focus()
    full = element.evaluate("e => Number(e.value ?? e.ariaValueNow) >= Number(e.max || e.ariaValueMax)")
    element.press("ArrowLeft" if full else "ArrowRight")


def _fill(element: ElementHandle) -> None:
    element.fill(element.evaluate(OTHER), timeout=CLICK_MS)
    element.press("Enter")


def _pick(element: ElementHandle) -> None:
    element.select_option(index=element.evaluate("e => e.selectedIndex ? 0 : 1"))


def _choose(element: ElementHandle, page: Page) -> None:
    element.click(timeout=CLICK_MS)
    page.locator(OPTIONS).first.wait_for(timeout=CLICK_MS)
    other = page.locator(f"{OPTIONS}:not([aria-selected=true])")
    if other.count():
        other.first.click(timeout=CLICK_MS)
    page.keyboard.press("Escape")
    page.locator(OPTIONS).first.wait_for(state="hidden", timeout=CLICK_MS)


HOW: dict[str, Callable[[ElementHandle], None]] = {
    "press": _press,
    "follow": _press,
    "pick": _pick,
    "slide": _slide,
    "toggle": _toggle,
    "fill": _fill,
    "draw": _draw,
}
