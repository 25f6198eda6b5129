"""Whose runs a visitor may change: those of their browser and, on their own machine, those of its command line.

A server that listens on this machine alone is taken for that of the person who sits at it, and so are the runs that
`kdlab run` made in the same home. What comes through a proxy, or under a name that is not this machine's, may be
anybody. `kdlab app --terminal-runs` and `--no-terminal-runs` decide it by hand.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Literal
from urllib.parse import urlsplit

from kdcore.jobs.rows import TERMINAL
from kdcore.jobs.tables import sealed

Policy = Literal["never", "local", "always"]
POLICY = "KDLAB_TERMINAL_RUNS"  # the environment's name for the policy; the command that serves sets it
PROXIED = ("forwarded", "via", "x-forwarded-", "x-real-ip", "x-client-ip")  # beginnings of headers of proxies


def policy_of(address: str, wish: bool | None) -> Policy:
    """Return the policy of a server that listens on `address`, an IP address, and of what was wished on its command
    line.
    """
    if wish is None:
        return "local" if ip_address(address.partition("%")[0]).is_loopback else "never"
    return "always" if wish else "never"


def owners(viewer: str, headers: Mapping[str, str]) -> frozenset[str]:
    """Return the owners a visitor stands for, as the store names them, by their browser's name and its request's
    headers.
    """
    own = sealed(viewer)
    policy = os.environ.get(POLICY, "never")
    theirs = policy == "always" or (policy == "local" and direct(headers))
    return frozenset({own, TERMINAL}) if theirs else frozenset({own})


def direct(headers: Mapping[str, str]) -> bool:
    """Whether a request was made for this machine by a name of its own, from a page of its own, through no proxy."""
    said = {name.lower(): value for name, value in headers.items()}
    if any(name.startswith(PROXIED) for name in said):
        return False
    origin = said.get("origin")
    return _ours(f"//{said.get('host', '')}") and (origin is None or _ours(origin))


def _ours(url: str) -> bool:
    """Whether a URL names this machine as only its own programs do."""
    try:
        name = urlsplit(url).hostname or ""
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False
