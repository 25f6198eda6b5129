"""Whose runs a visitor may change."""

import pytest

from app.live import ownership
from kdcore.jobs.rows import TERMINAL
from kdcore.jobs.tables import sealed

ME = "a" * 32
HERE = {"Host": "localhost:8501", "Origin": "http://localhost:8501"}


@pytest.mark.parametrize(
    ("address", "wish", "policy"),
    [
        ("127.0.0.1", None, "local"),
        ("127.0.0.2", None, "local"),
        ("::1", None, "local"),
        ("0.0.0.0", None, "never"),
        ("::", None, "never"),
        ("192.168.0.7", None, "never"),
        ("fe80::1%eth0", None, "never"),
        ("0.0.0.0", True, "always"),
        ("127.0.0.1", False, "never"),
    ],
)
def test_a_server_that_other_machines_reach_keeps_the_terminals_runs_to_itself(
    address: str, wish: bool | None, policy: str
) -> None:
    assert ownership.policy_of(address, wish) == policy


@pytest.mark.parametrize(
    ("headers", "direct"),
    [
        (HERE, True),
        ({"host": "127.0.0.1:8501"}, True),
        ({"host": "[::1]:8501", "origin": "http://[::1]:8501"}, True),
        ({}, False),
        ({"host": "lab.example"}, False),  # forwarded under its own name, or a name made to point here
        ({"host": "192.168.0.7:8501"}, False),
        ({"host": "localhost.example"}, False),
        (HERE | {"Origin": "https://lab.example"}, False),
        (HERE | {"Origin": "null"}, False),
        *((HERE | {name.title(): "203.0.113.9"}, False) for name in ownership.PROXIED),
    ],
)
def test_what_came_through_a_proxy_may_be_anybody(
    headers: dict[str, str], direct: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ownership.POLICY, "local")
    assert ownership.owners(ME, headers) == (frozenset({sealed(ME), TERMINAL}) if direct else frozenset({sealed(ME)}))
    monkeypatch.setenv(ownership.POLICY, "never")
    assert ownership.owners(ME, headers) == frozenset({sealed(ME)})
    monkeypatch.setenv(ownership.POLICY, "always")
    assert ownership.owners(ME, headers) == frozenset({sealed(ME), TERMINAL})
