"""What tests in a real chromium share: the browser, a server over a home of its own, a person with a browser."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Error, Locator, Page

from kdcore.jobs.store import Store

ROOT = Path(__file__).parents[1]
CHROMIUM = os.environ.get("KDLAB_CHROMIUM", "/usr/bin/chromium")
FLAGS = ["--no-sandbox", "--disable-background-networking", "--host-resolver-rules=MAP *.test 127.0.0.1"]
PATIENCE_MS = 60_000


@contextmanager
def served(
    folder: Path,
    app: str = "app.asgi:app",
    beside: tuple[Path, ...] = (),
    log: Path | None = None,
    slots: int = 1,
    terminal: str = "never",
    port: int = 0,
    **more: str,
) -> Iterator[str]:
    """The address of a server over the home `folder`; it ends with the context.

    Args:
        folder: the home.
        app: what uvicorn serves.
        beside: further folders to import from.
        log: the file that gets what the server writes.
        slots: how many runs may go on at once.
        terminal: whose the runs of the terminal are: see `app.live.ownership`.
        port: where it listens; 0 is any free one.
        more: of its environment.
    """
    port = port or free_port()
    path = os.pathsep.join(map(str, (ROOT, *beside)))
    own = {"KDLAB_HOME": str(folder), "KDLAB_SLOTS": str(slots), "KDLAB_TERMINAL_RUNS": terminal}
    environment = os.environ | own | more | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "uvicorn", app, "--port", str(port), "--log-level", "warning", "--no-access-log"]
    with (
        (log or Path(os.devnull)).open("wb") as written,
        subprocess.Popen(command, cwd=ROOT / "app", env=environment, stdout=written, stderr=written) as server,
    ):
        try:
            wait_for(f"http://127.0.0.1:{port}/api/health")
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait()


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with closing(socket.create_server(("127.0.0.1", 0))) as found:
        port: int = found.getsockname()[1]
    return port


def end_workers(folder: Path) -> None:
    """End the runs that a server left behind: they outlive it."""
    with closing(Store(folder)) as store:
        for run in store.runs(states={"running"}):
            os.killpg(run.pid or 0, signal.SIGKILL)


def wait_for(url: str) -> None:
    """Return once the server answers."""
    for _ in range(600):
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"{url} does not answer")


@contextmanager
def person(chromium: Browser, address: str) -> Iterator[Page]:
    """A page in a browser of its own."""
    with closing(chromium.new_context(base_url=address, viewport={"width": 1280, "height": 1000})) as context:
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        try:
            yield page
        except (AssertionError, Error) as error:
            error.add_note(_seen(page))
            raise


def _seen(page: Page) -> str:
    """What a person reads on a page: what a failed test was looking at."""
    try:
        return f"{page.url}\n{page.locator('body').inner_text(timeout=5000)}"
    except Error as error:
        return f"The page itself cannot be read: {error}"


def drag_over(plane: Locator) -> None:
    """Drag over a chart's plane from left to right, once it stands still."""
    mouse = plane.page.mouse
    plane.hover(position={"x": 60, "y": 60})
    mouse.down()
    for x in (120, 200):
        plane.hover(position={"x": x, "y": 60}, force=True)  # Plotly lays a cover over all while one drags
    mouse.up()
