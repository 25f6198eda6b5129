"""Who may open the pages: the hosts they are reached by, the sites that may frame them, and their base path.

A page elsewhere can have its own host name point at this machine (DNS rebinding) and would then be of one origin with
the Lab. So only names that this machine has by itself are answered, and those of the listed origins; a socket or an
upload has to come from a page of the same host or of a listed origin.
"""

from __future__ import annotations

import html
import json
import os
import re
import socket
from collections.abc import Mapping
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import quote, unquote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.live.routes import SCRIPTS, same_origin
from kdcore.errors import BadInput, shortened

ORIGINS, FRAMES, BASE = "KDLAB_ORIGINS", "KDLAB_FRAMES", "KDLAB_BASE"  # of the environment; lists with commas between
USUAL_PORTS = {"http": 80, "https": 443}
NAME = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")
FILES = ("media", "api", "vendor", "component", "_stcore")  # first parts of paths at which no page lies
BESIDE = ("", "lab", "blackbox", "methods")  # pages with a sidebar
READS = ("GET", "HEAD", "OPTIONS")
EXAMPLE = "such as https://hub.example or http://lab.local:8501"
# What a page may load. Streamlit sets styles inline, imports components from blobs, and some charts compile functions.
CONTENT = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob: data:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "media-src 'self' data: blob:; worker-src 'self' blob:; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
)


class Access(NamedTuple):
    """What the command line or the environment allows."""

    origins: tuple[str, ...] = ()
    frames: tuple[str, ...] = ()
    base: str = ""  # such as /hub/lab, without a slash at its end

    def knows(self, host: str | None) -> bool:
        """Whether a browser may name the server so; what is no browser may name none."""
        if host is None:
            return True
        name = _hostname(host)
        return name in _own_names() or is_address(name) or name in {_hostname(one) for one in self.origins}

    def trusts(self, origin: str | None, host: str | None) -> bool:
        """Whether a page of this origin may open sockets and upload."""
        return same_origin(origin, host) or origin in self.origins

    def inside(self, path: str) -> str:
        """Return a path without the base, for which all addresses are relative; one that is not below it as it came."""
        return path[len(self.base) :] if self.base and path.startswith(f"{self.base}/") else path


def read_access(environ: Mapping[str, str] = os.environ) -> Access:
    """Return what the environment allows.

    Raises:
        BadInput: an origin or the base path is none.
    """
    origins, frames = (
        tuple(origin(part) for part in environ.get(name, "").split(",") if part.strip()) for name in (ORIGINS, FRAMES)
    )
    return Access(origins, frames, base_path(environ.get(BASE, "")))


def origin(text: str) -> str:
    """Return an origin as browsers write it.

    Raises:
        BadInput: it is none.
    """
    try:
        found = urlsplit(text.strip().lower())
        port, name = found.port, (found.hostname or "").encode("idna").decode()
    except ValueError:  # also of names that no such code exists for
        found, port, name = urlsplit(""), None, ""
    more = found.path.strip("/") or found.query or found.fragment or "@" in found.netloc
    if found.scheme not in USUAL_PORTS or more or not (NAME.fullmatch(name) or is_address(name)):
        raise BadInput(f"{shortened(text)} is no origin; write scheme, host and port, {EXAMPLE}.")
    host = f"[{name}]" if ":" in name else name
    return f"{found.scheme}://{host}" + ("" if port in (None, USUAL_PORTS[found.scheme]) else f":{port}")


def base_path(text: str) -> str:
    """Return a base path with a slash before it and none behind; "" is the root.

    Raises:
        BadInput: it is no plain path.
    """
    path = "/" + unquote(text.strip()).strip("/")
    if urlsplit(path).path != path or {"", "."}.intersection(path.split("/")[1:-1]) or not path.isprintable():
        raise BadInput(f"{shortened(text)} is no base path; write one such as /hub/lab.")
    return path.rstrip("/")


def _origin_of(url: str) -> str:
    """Return the origin of a URL, or "" where it has none."""
    try:
        found = urlsplit(url)
        return origin(f"{found.scheme}://{found.netloc}")
    except ValueError:
        return ""


def _hostname(host: str) -> str:
    """Return the name in a Host header or an origin."""
    try:
        return (urlsplit(host if "://" in host else f"//{host}").hostname or "").removesuffix(".")
    except ValueError:
        return ""


def _own_names() -> set[str]:
    """Names by which nobody else can be reached."""
    name = socket.gethostname().lower()
    return {"localhost", name, f"{name}.local"}


def is_address(name: str) -> bool:
    """Whether it is an IP address, or below `localhost`: names no other site can have its pages under."""
    try:
        ip_address(name)
    except ValueError:
        return name.endswith(".localhost")
    return True


class Guard:
    """ASGI middleware that answers only those who may open the pages, and says to the others what to set.

    Args:
        app: what it guards.
        access: who may; by default what the environment says.
    """

    def __init__(self, app: ASGIApp, access: Access | None = None) -> None:
        self.app = app
        self.access = read_access() if access is None else access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        refused = self._refused(scope)
        if refused and scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": ""})
        elif refused:
            await refused(scope, receive, send)
        else:
            await self.app(self._as_seen_inside(scope), receive, Outgoing(self.access, scope, send))

    def _refused(self, scope: Scope) -> Response | None:
        """Why a request is not answered."""
        headers, access = Headers(scope=scope), self.access
        host, asks = headers.get("host"), headers.get("origin")
        if not access.knows(host):
            return _refusal(421, f"KD Lab does not answer to the name {shortened(host)}.", "--origin", _url(scope))
        reads = scope["type"] == "http" and scope["method"] in READS
        if not reads and not access.trusts(asks, host):
            return _refusal(403, f"KD Lab takes nothing from pages of {shortened(asks)}.", "--origin", str(asks))
        if not access.frames and headers.get("sec-fetch-dest") in ("iframe", "frame") and _crosses(headers):
            site = headers.get("referer") or "https://lms.example"
            return _refusal(403, "KD Lab shows itself in frames of listed sites alone.", "--frame", site)
        if access.base and scope["path"] == access.base:
            query = scope["query_string"].decode("latin-1")
            return RedirectResponse(f"{quote(access.base)}/{'?' if query else ''}{query}")
        return None

    def _as_seen_inside(self, scope: Scope) -> Scope:
        """Return the request without the base path; its origin was looked at here."""
        inside = dict(scope) | {"headers": list(scope["headers"])}
        if (path := self.access.inside(scope["path"])) != scope["path"]:
            inside |= {"path": path, "raw_path": quote(path).encode()}
        headers = MutableHeaders(scope=inside)
        if "origin" in headers and "host" in headers:
            if not same_origin(headers["origin"], headers["host"]):
                headers["x-forwarded-host"] = _hostname(headers["origin"]) or "?"  # so it is not taken for a local one
            headers["origin"] = _url(scope)
        if "text/html" in headers.get("accept", ""):
            del headers["accept-encoding"]  # it gets a line more on its way out
        return inside


class Outgoing:
    """What is sent to a browser: with the headers that bind it, and in a page what the page compares itself with."""

    def __init__(self, access: Access, scope: Scope, send: Send) -> None:
        self.access, self.scope, self.send = access, scope, send
        self._path = access.inside(scope["path"])
        self._base = quote(access.base) if self._path != scope["path"] else ""
        self._begun: Message | None = None
        self._body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["x-content-type-options"] = "nosniff"
            headers["referrer-policy"] = "same-origin"
            self._bind_cookies(headers)
            if headers.get("location", "").startswith("/"):
                headers["location"] = self._base + headers["location"]
            if headers.get("content-type", "").startswith("text/html"):
                headers["content-security-policy"] = " ".join((CONTENT, *self.access.frames))
                if self.scope["method"] == "GET" and message["status"] == 200 and self._is_page():
                    self._begun = message
                    return
        elif self._begun and message["type"] == "http.response.body":
            self._body += message.get("body", b"")
            if message.get("more_body"):
                return
            message = await self._page(self._begun)
        await self.send(message)

    async def _page(self, begun: Message) -> Message:
        """Return the page's body, after its head was sent."""
        body = self._body.replace(b"<head>", b"<head>" + self._head().encode(), 1)
        if self._path.split("/")[1] in BESIDE:
            body = body.replace(b"<html", b'<html class="kd-beside"', 1)
        headers = MutableHeaders(scope=begun)
        for name in ("etag", "last-modified"):  # of the page without that line
            del headers[name]
        headers["content-length"] = str(len(body))
        self._begun = None
        await self.send(begun)
        return {"type": "http.response.body", "body": body}

    def _head(self) -> str:
        """Return the page's style; the name under which the server was asked, and those it knows besides: see
        `access.js`.
        """
        told = json.dumps({"host": Headers(scope=self.scope).get("host"), "origins": self.access.origins})
        scripts = "".join(
            f'<script type="module" src=".{SCRIPTS}/{name}.js"></script>' for name in ("access", "arrive")
        )
        style = f'<link rel="stylesheet" href=".{SCRIPTS}/page.css">'
        return f'<meta name="kdlab-access" content="{html.escape(told)}">{scripts}{style}'

    def _is_page(self) -> bool:
        """Whether HTML is a page of ours, and not a file that somebody takes away."""
        return self._path.split("/")[1] not in FILES

    def _bind_cookies(self, headers: MutableHeaders) -> None:
        """Keep cookies below the base path and, in a frame of another site, apart from those of every other site."""
        path = f"Path={self._base}/"
        framed = self.access.frames and self.scope["scheme"] == "https"
        cookies = headers.getlist("set-cookie")
        del headers["set-cookie"]
        for cookie in cookies:
            parts = [path if part.lower() == "path=/" else part for part in cookie.split("; ")]
            if framed:
                parts = [part for part in parts if part.lower() not in ("samesite=lax", "secure")]
                parts += ["SameSite=None", "Secure", "Partitioned"]
            headers.append("set-cookie", "; ".join(parts))


def _refusal(status: int, why: str, option: str, value: str) -> Response:
    """Why a request is not answered, and what to set where it should be and can."""
    variable, found = {"--origin": ORIGINS, "--frame": FRAMES}[option], _origin_of(value)
    advice = f" If it should, start it with `kdlab app {option} {found}`, or set {variable}={found}." if found else ""
    headers = {"x-content-type-options": "nosniff", "cache-control": "no-store"}
    return PlainTextResponse(f"{why}{advice}\n", status, headers)


def _url(scope: Scope) -> str:
    """Return the origin under which a browser asks, as far as the request says it."""
    return f"{'https' if scope['scheme'] in ('https', 'wss') else 'http'}://{Headers(scope=scope).get('host')}"


def _crosses(headers: Headers) -> bool:
    return headers.get("sec-fetch-site") in ("cross-site", "same-site")
