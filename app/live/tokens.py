"""Who may watch and control: a browser is known by a cookie, and a page proves itself by a signed token.

The cookie names the browser and so the owner of its runs. A page on another site can make a browser open our socket,
but it cannot read the token, so both are asked for and must agree.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import time
from functools import cache
from pathlib import Path

from kdcore.errors import BadInput
from kdcore.jobs.tables import BROWSER
from kdcore.spec.catalogue import home

COOKIE = "kdlab_viewer"
LIFE_S = 12 * 3600
SERVER = secrets.token_hex(4)  # this process; pages of one that is gone have buttons that nobody hears
VIEWER = BROWSER


def new_viewer() -> str:
    """Return a name for a browser that nobody can guess: 32 hex digits."""
    return secrets.token_hex(16)


def issue(viewer: str, now: float | None = None) -> str:
    """Return a token for the pages of one browser, good for twelve hours."""
    expires = int((time.time() if now is None else now) + LIFE_S)
    return f"{expires}.{_signature(viewer, expires)}"


def verify(token: str, viewer: str, now: float | None = None) -> None:
    """Pass when the token was issued to this viewer and is still good.

    Raises:
        BadInput: it is not.
    """
    text, _, signature = token.partition(".")
    expires = int(text) if text.isascii() and text.isdigit() and len(text) < 16 else 0
    if not hmac.compare_digest(signature.encode(), _signature(viewer, expires).encode()):
        raise BadInput("This page was not opened by this browser; reload it.")
    if expires < (time.time() if now is None else now):
        raise BadInput("This page has been open for more than twelve hours; reload it.")


def _signature(viewer: str, expires: int) -> str:
    return hmac.new(_secret(home()), f"{viewer}.{expires}".encode(), hashlib.sha256).hexdigest()


@cache
def _secret(folder: Path) -> bytes:
    """Return the server's secret: made once, readable by its owner only, the same for every process of that home."""
    path = folder / "secret"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".secret.{os.getpid()}.{secrets.token_hex(4)}")
        draft.touch(mode=0o600, exist_ok=False)
        try:
            draft.write_bytes(secrets.token_bytes(32))
            path.hardlink_to(draft)  # whoever comes first wins, and nobody reads half a secret
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    if path.stat().st_mode & 0o077:
        path.chmod(0o600)  # copied or unpacked by hand
    return path.read_bytes()
