"""An address of this machine that a server listens on."""

from __future__ import annotations

import errno
import socket

from kdcore.errors import BadInput, gist

EVERYWHERE = ("0.0.0.0", "::")


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on the address; who connects waits until somebody accepts.

    Raises:
        BadInput: it is taken, forbidden, or no address of this machine.
    """
    bound = None
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)  # named, or asyncio lets small answers wait 40 ms for company
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(place)
        bound.listen()  # at once: two sockets may be bound to one port until one of them listens
    except (OSError, ValueError, OverflowError) as error:  # a host may be no name at all, such as 300 letters
        if bound:
            bound.close()
        raise BadInput(_hindrance(host, port, error)) from error
    return bound


def address(host: str, port: int) -> str:
    """Return the URL for those on this machine."""
    name = "localhost" if host in EVERYWHERE else f"[{host}]" if ":" in host else host
    return f"http://{name}:{port}"


def _hindrance(host: str, port: int, error: Exception) -> str:
    code = getattr(error, "errno", None)
    if code == errno.EADDRINUSE:
        return f"Port {port} on {host} is in use; choose another one, such as --port {port + 1}, or 0 for any free one."
    if code == errno.EACCES:
        return f"Port {port} may not be used by this account; choose one from 1024 on, such as --port 8501."
    cause = getattr(error, "strerror", None) or gist(error)
    return f"{host[:80]!r} is no address of this machine ({cause}); give --host 127.0.0.1, or 0.0.0.0 for all."
