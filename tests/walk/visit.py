"""One look at the Lab: a page in a context of its own, what its console says, what the server's log says."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urljoin, urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Download, Error, FileChooser, Page

HERE = Path(__file__).parent
CALM_MS, LIMIT_MS, BACK_MS = 300, 60_000, 4000
COLOUR = re.compile(r"\x1b\[[\d;]*m")
TRACEBACK = re.compile(r"Traceback \(most recent call last\).*?^(\w[\w.]*(?:: [^\n]*)?)$", re.MULTILINE | re.DOTALL)
Cookies = Sequence[tuple[str, str]]
BROKEN = "[data-testid=stException], .stException"


class Look(NamedTuple):
    """How wide the window is, and its theme."""

    width: int
    theme: str

    def __str__(self) -> str:
        return f"{self.width} {self.theme}"


@dataclass
class Log:
    """What a server writes, plainly or, as Streamlit does, in colours and frames."""

    path: Path
    read: int = 0

    def tracebacks(self) -> list[str]:
        """The last lines of the tracebacks that came since the last call."""
        text = self.path.read_bytes()[self.read :]
        self.read += len(text)
        return TRACEBACK.findall(COLOUR.sub("", text.decode(errors="replace")))


@dataclass
class Visit:
    """A page that stands open, and what went wrong on it since `faults` was asked last."""

    page: Page
    url: str
    log: Log
    still: bool  # whether numbers stand still, so that one that changes is an answer
    brought: list[Download] = field(default_factory=list)
    windows: list[Page | FileChooser] = field(default_factory=list)  # pages, and the system's own for files
    _said: list[str] = field(default_factory=list)
    _opened: str = ""  # the URL that the page gave itself

    def open(self) -> None:
        """Load the page anew."""
        self.page.goto(self.url)
        self.settle()
        self._opened = self.page.url

    def back(self) -> bool:
        """Walk back to the URL that was opened, which is quicker than to load it anew; whether it is there again."""
        if urlsplit(self.page.url).path != urlsplit(self._opened).path:
            return False
        with suppress(Error):
            self.page.go_back(timeout=BACK_MS, wait_until="commit")
        return self.settle() and self.page.url == self._opened

    def unfold(self) -> None:
        """Unfold what is folded, and scroll by everything once, so that it is drawn."""
        for _ in range(3):  # what is unfolded may hold more
            if not self.page.evaluate("walk.unfold()"):
                break
            self.settle()
        self.page.evaluate("walk.stroll()")
        self.settle()

    def settle(self, limit_ms: int = LIMIT_MS, calm_ms: int = CALM_MS) -> bool:
        """Wait until the page stands still; whether it did."""
        for _ in range(20):
            with suppress(Error):  # the page is being left
                return bool(self.page.evaluate(f"walk.settle({calm_ms}, {limit_ms})"))
            self.page.wait_for_load_state()
        return False

    def hear(self, message: ConsoleMessage) -> None:
        """Keep an error of the console."""
        if message.type == "error":
            self._said.append(f"console: {message.text} {message.location.get('url', '')}".strip())

    def fail(self, error: Error) -> None:
        """Keep an error that no script caught."""
        self._said.append(f"console: {error.message}")

    def faults(self) -> list[str]:
        """What console, page and log hold since the last call."""
        said = [*dict.fromkeys(self._said), *(f"log: {line}" for line in self.log.tracebacks())]
        self._said.clear()
        if self.page.locator(BROKEN).count():
            said.append(f"exception on the page: {self.page.locator(BROKEN).first.inner_text()[:120]}")
        return said


@contextmanager
def visit(
    browser: Browser, address: str, path: str, look: Look, log: Log, cookies: Cookies = (), still: bool = True
) -> Iterator[Visit]:
    """A page in a fresh context; motion is reduced, so that no replay begins by itself.

    Args:
        browser: where.
        address: the server's.
        path: the page's, with its query.
        look: how wide, and the theme.
        log: the server's.
        cookies: name and value of each.
        still: whether nothing on the page moves by itself.
    """
    scheme: Any = {"color_scheme": look.theme, "reduced_motion": "reduce"}
    with closing(browser.new_context(viewport={"width": look.width, "height": 900}, **scheme)) as context:
        context.add_cookies([{"url": address, "name": name, "value": value} for name, value in cookies])
        for script in ("page.js", "boxes.js"):
            context.add_init_script(path=HERE / script)
        page = context.new_page()
        opened = Visit(page, urljoin(address, f"/{path}"), log, still)
        page.on("console", opened.hear)
        page.on("pageerror", opened.fail)
        page.on("dialog", lambda dialog: dialog.dismiss())
        page.on("download", lambda file: opened.brought.append(file))
        page.on("filechooser", lambda chooser: opened.windows.append(chooser))
        context.on("page", lambda other: opened.windows.append(other) if other != page else None)
        yield opened
