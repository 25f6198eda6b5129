"""A page proves itself by a token that only this server signs, for this browser, for twelve hours."""

import stat
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.live import tokens
from app.live.tokens import LIFE_S, VIEWER, issue, new_viewer, verify
from kdcore.errors import BadInput

pytestmark = pytest.mark.usefixtures("home")
ANNA, BERT = "a" * 32, "b" * 32


def test_a_token_holds_for_twelve_hours_and_no_longer() -> None:
    token = issue(ANNA, now=1000.0)
    verify(token, ANNA, now=1000.0)
    verify(token, ANNA, now=1000.0 + LIFE_S)
    with pytest.raises(BadInput, match="more than twelve hours"):
        verify(token, ANNA, now=1001.0 + LIFE_S)


def test_a_token_is_nobody_elses() -> None:
    with pytest.raises(BadInput, match="not opened by this browser"):
        verify(issue(ANNA), BERT)


def test_a_later_end_cannot_be_written_into_a_token() -> None:
    end, _, signature = issue(ANNA).partition(".")
    with pytest.raises(BadInput, match="not opened by this browser"):
        verify(f"{int(end) + 1}.{signature}", ANNA)


def test_another_home_signs_otherwise(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    token = issue(ANNA)
    monkeypatch.setenv("KDLAB_HOME", str(tmp_path / "other"))
    with pytest.raises(BadInput):
        verify(token, ANNA)


@given(st.text(max_size=120))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_text_is_a_token(text: str) -> None:
    with pytest.raises(BadInput):
        verify(text, ANNA)


def test_the_secret_is_made_once_and_only_its_owner_reads_it(home: Path) -> None:
    tokens._secret.cache_clear()
    found: list[bytes] = []
    makers = [threading.Thread(target=lambda: found.append(tokens._secret.__wrapped__(home))) for _ in range(8)]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join()
    path = home / "secret"
    assert set(found) == {path.read_bytes()}
    assert len(path.read_bytes()) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [other.name for other in home.glob(".secret*")] == []


def test_a_secret_that_others_could_read_is_closed_to_them(home: Path) -> None:
    secret = tokens._secret.__wrapped__(home)
    (home / "secret").chmod(0o644)
    assert tokens._secret.__wrapped__(home) == secret
    assert stat.S_IMODE((home / "secret").stat().st_mode) == 0o600


def test_viewers_are_named_alike_and_never_the_same() -> None:
    names = {new_viewer() for _ in range(100)}
    assert len(names) == 100
    assert all(VIEWER.fullmatch(name) for name in names)
