"""Gives every browser a name of its own with the first page it opens."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.live.tokens import COOKIE, VIEWER, new_viewer

YEAR_S = 365 * 24 * 3600


def viewer_of(scope: Scope) -> str | None:
    """Return the name of the browser that asks, or None when it has none yet."""
    name = HTTPConnection(scope).cookies.get(COOKIE, "")
    return name if VIEWER.fullmatch(name) else None


class NameBrowsers:
    """ASGI middleware that sets the cookie with the first page, so that later requests carry it.

    The cookie is SameSite=Lax: a link opened from a mail is still the same person, while requests that other sites
    make in the background, sockets included, come without it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or viewer_of(scope):
            await self.app(scope, receive, send)
            return

        async def naming(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if headers.get("content-type", "").startswith("text/html"):
                    secure = "; Secure" if scope.get("scheme") == "https" else ""
                    kept = f"Path=/; Max-Age={YEAR_S}; HttpOnly; SameSite=Lax{secure}"
                    headers.append("set-cookie", f"{COOKIE}={new_viewer()}; {kept}")
            await send(message)

        await self.app(scope, receive, naming)
