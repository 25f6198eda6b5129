"""The Lab's server: a socket that is ours before anything is loaded, then the pages behind it."""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
import webbrowser
from collections.abc import Sequence
from contextlib import suppress

import uvicorn

from app.cli.common import prepare
from app.live import access, ownership
from kdcore.jobs.store import Store
from kdcore.remote.listen import address, listen
from kdcore.terminal import say

GRACE_S = 3  # for open pages when the server ends


def serve(
    host: str,
    port: int,
    open_page: bool,
    slots: int,
    terminal_runs: bool | None,
    reached: tuple[Sequence[str], Sequence[str], str] = ((), (), ""),
) -> None:
    """Serve until Ctrl-C.

    Args:
        host: address to listen on.
        port: that, too.
        open_page: whether to open the Lab in a browser.
        slots: runs at the same time.
        terminal_runs: see `app.live.ownership`.
        reached: origins, frames and the base path, besides those of the environment; see `app.live.access`.

    Raises:
        BadInput: the address is taken or not ours, an origin is none, or the store cannot be opened.
    """
    allow(host, port, *reached)
    with listen(host, port) as listening:
        Store().close()  # a damaged one is told here, in a sentence
        prepare()
        os.environ["KDLAB_SLOTS"] = str(slots)
        os.environ[ownership.POLICY] = ownership.policy_of(listening.getsockname()[0], terminal_runs)
        url = address(host, listening.getsockname()[1])
        config = uvicorn.Config(
            "app.asgi:app",
            ws="app.live.socket:Bounded",
            ws_per_message_deflate=False,  # it would compress every picture anew for each viewer
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=GRACE_S,
        )
        logging.getLogger("uvicorn.access").disabled = True  # Streamlit gives it a handler after uvicorn took it away
        with suppress(KeyboardInterrupt):
            Server(config, url, open_page).run(sockets=[listening])


def allow(host: str, port: int, origins: Sequence[str], frames: Sequence[str], base: str) -> None:
    """Add to the environment, where the server reads it, who may open the pages.

    Raises:
        BadInput: see `app.live.access.read_access`.
    """
    named = () if access.is_address(host) else (f"http://{host}:{port}",)
    for variable, more in ((access.ORIGINS, (*origins, *named)), (access.FRAMES, frames)):
        os.environ[variable] = ",".join(filter(None, (os.environ.get(variable, ""), *more)))
    os.environ[access.BASE] = base or os.environ.get(access.BASE, "")
    access.read_access()


class Server(uvicorn.Server):
    """Says where the Lab is once it answers."""

    def __init__(self, config: uvicorn.Config, url: str, open_page: bool) -> None:
        super().__init__(config)
        self.url, self.open_page = url, open_page

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve, say so, and open the page where that is wished."""
        await super().startup(sockets)
        if self.started:
            say(f"KD Lab is at {self.url} (Ctrl-C ends it; runs under way go on).", flush=True)
        if self.started and self.open_page and has_screen():
            threading.Thread(target=webbrowser.open, args=(self.url,), daemon=True).start()


def has_screen() -> bool:
    """Whether a browser would have a window; without one a text browser would take over the terminal."""
    return sys.platform != "linux" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
