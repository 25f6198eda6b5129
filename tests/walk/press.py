"""Uses the controls of a page, one after the other; one after which neither page nor address changed is dead."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from urllib.parse import urlsplit

from controls import CLICK_MS, Control, chosen, controls, use
from exempt import is_used
from keeper import Keeper
from playwright.sync_api import Error, Page
from visit import Visit

HASTE_MS, PATIENCE_MS = 2500, 40_000  # what seems dead is tried again, with patience
BREATH_MS, CALM_MS = 150, 6000
POPOVER = "stPopoverButton"
GONE = "gone"  # as an invitation that is shown once


class Presser:
    """Goes through the controls of one page.

    Args:
        visit: the page.
        keeper: puts the store back.
        full: whether of many alike all are used.
        ready: makes what the page shows ready before it is loaded.
        patience_ms: how long a control is waited for that seems dead.
    """

    def __init__(
        self,
        visit: Visit,
        keeper: Keeper,
        full: bool,
        ready: Callable[[], None] = lambda: None,
        patience_ms: int = PATIENCE_MS,
    ) -> None:
        self.visit, self.keeper, self.full, self.ready = visit, keeper, full, ready
        self.patience_ms = patience_ms
        self.used = self.gone = 0
        self._stale = True

    def faults(self, known: Counter[str], frames: Sequence[str] = ("frame", "main"), only: str = "") -> Iterator[str]:
        """Use all controls of these parts of the page, or those of them that match, and say what went wrong."""
        self._open()
        self.visit.unfold()
        page = urlsplit(self.visit.url).path
        for control in [*chosen(controls(self.visit.page), page, known, self.full)]:
            if control.frame in frames and re.search(only, control.said):
                yield from self._try((control,))
                if control.testid == POPOVER:
                    yield from self._inside(control)

    def _inside(self, opener: Control) -> Iterator[str]:
        """The controls that an opener brings."""
        self._open()
        if self._use(opener, HASTE_MS):
            self.visit.settle()
            inner = controls(self.visit.page, "document.querySelector('[data-testid=stPopoverBody]') ?? document")
            for control in inner:
                if is_used(control.said):
                    self._stale = True
                    yield from self._try((opener, control))

    def _try(self, way: tuple[Control, ...]) -> Iterator[str]:
        """Use the last control of a way; one that seems dead once more, on a fresh page and with patience."""
        said = " → ".join(map(str, way))
        for patience in (HASTE_MS, self.patience_ms):
            try:
                change = self._reach(way, patience)
            except Error as error:
                change, trouble = None, f"cannot be used: {said}: {error.message.splitlines()[0][:120]}"
            else:
                trouble = f"nothing changed after {said}"
            if change:
                break
            self._stale = True
        else:
            yield trouble
        self.used += change != GONE
        self.gone += change == GONE
        touched = self.keeper.mend()
        if touched and not change:
            yield f"the store changed and the page did not say so after {said}"
        yield from (f"{fault} after {said}" for fault in self._after())
        if touched or (change == "address" and not self.visit.back()):
            self._stale = True

    def _reach(self, way: tuple[Control, ...], patience: int) -> str | None:
        if self._stale:
            self._open()
        for control in way[:-1]:
            self._use(control, HASTE_MS)
            self.visit.settle()
        return self._use(way[-1], patience)

    def _place(self, control: Control) -> int | None:
        """Where a control stands in `walk.controls`, on the page as it is, as it was, or with all of it unfolded."""
        for bring in (lambda: None, self._open, self.visit.unfold):
            bring()
            found = controls(self.visit.page)
            if control in found:
                return found.index(control)
        return None

    def _use(self, control: Control, patience: int) -> str | None:
        """Use one control; what changed: "page", "address", "download", "window", None, or that it is gone."""
        place = self._place(control)
        if place is None:
            return GONE
        element = self.visit.page.evaluate_handle("i => walk.controls[i]", place).as_element()
        assert element
        element.scroll_into_view_if_needed(timeout=CLICK_MS)
        if control.kind in ("press", "follow"):
            element.hover(timeout=CLICK_MS)
        self.visit.settle(4000, BREATH_MS)
        self.visit.brought.clear()
        self.visit.windows.clear()
        self.visit.page.evaluate(f"walk.mark({place}, {str(self.visit.still).lower()})")
        use(control.kind, element, self.visit.page)
        return self._change(patience)

    def _change(self, patience: int) -> str | None:
        for _ in range(patience // 250):
            try:
                found = self.visit.page.evaluate("walk.changed(250)")
            except Error:  # the page was left
                return "address"
            if found or self.visit.brought or self.visit.windows:
                return found or ("download" if self.visit.brought else "window")
        return None

    def _after(self) -> Iterator[str]:
        self._stale = not self.visit.settle(CALM_MS)
        for file in self.visit.brought:
            if reason := file.failure():
                yield f"download failed ({reason})"
        for window in self.visit.windows:
            if isinstance(window, Page):
                window.close()
        if self.visit.page.evaluate("Boolean(document.fullscreenElement)"):
            self.visit.page.evaluate("document.exitFullscreen()")
            self._stale = True
        yield from self.visit.faults()

    def _open(self) -> None:
        self.ready()
        self.visit.open()
        self._stale = False
