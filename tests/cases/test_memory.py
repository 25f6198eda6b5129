"""A large case takes no more memory than a stated amount while it is looked at, and gives it back afterwards."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from case_factory import random_case

from app.live.case_watcher import CaseWatcher
from app.live.render import Looker, draw
from app.panels import case_panels, panel
from kdcore.comparison import cache, log_probabilities
from kdcore.comparison.cache import CASES, kept, remembered
from kdcore.comparison.calibration import forecast
from kdcore.comparison.case import Case, folder_of
from kdcore.comparison.log_probabilities import Logs
from kdcore.comparison.scores import scores
from kdcore.comparison.temperature_scaling import fitted, off, strip
from kdcore.probes._numerics import log_softmax
from kdcore.single_entry_cache import SingleEntryCache

ROWS, CLASSES = 4000, 250
ANSWERS_BYTES = 2 * ROWS * CLASSES * 4  # both models', as they lie on disk


@pytest.fixture(autouse=True)
def _nothing_kept() -> Iterator[None]:
    CASES.release(idle_s=-1)
    yield
    CASES.release(idle_s=-1)


@pytest.mark.usefixtures("home")
def test_all_panels_of_a_case_hold_little_more_than_its_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_probabilities, "BLOCK_VALUES", 64 * CLASSES)
    case = random_case(folder_of("case-0123456789ab"), ROWS, CLASSES)
    (case.folder / "about.json").write_text(case.about.model_copy(update={"where": "given"}).model_dump_json())
    watcher = CaseWatcher(case.id)
    for name in case_panels():  # what is imported and what is kept for ever is no part of the figure
        draw(watcher, panel(name), Looker(theme="light"), 1)
    CASES.release(idle_s=-1)
    watcher = CaseWatcher(case.id)
    tracemalloc.start()
    drawn = [draw(watcher, panel(name), Looker(theme="light"), 1).payload for name in case_panels()]
    held, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(drawn) == len(case_panels())
    assert ANSWERS_BYTES <= CASES.held_bytes() <= 1.2 * ANSWERS_BYTES
    assert held - sum(map(len, drawn)) <= 1.6 * ANSWERS_BYTES
    assert most <= 7 * ANSWERS_BYTES  # tables of classes and resamples among them, which do not grow with the rows
    CASES.release(idle_s=-1)
    assert CASES.held_bytes() == 0


def random(rows: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    labels = rng.integers(0, classes, rows)
    return (rng.normal(size=(rows, classes)) + 3 * np.eye(classes)[labels]).astype(np.float32), labels


@pytest.mark.parametrize("block", [1, 50, 7 * 5, 10**6])
def test_blocks_change_no_number(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    logits, labels = random(123, 5)
    warmth = np.linspace(0.5, 2, 123)
    whole = log_softmax(logits / warmth[:, None])
    expected = scores(forecast(log_softmax(logits), labels)), strip(forecast(log_softmax(logits), labels))
    temperature, chance = fitted(logits, labels), off(logits, labels)
    monkeypatch.setattr(log_probabilities, "BLOCK_VALUES", block)
    told = Logs(logits, warmth)
    assert np.array_equal(np.asarray(told), whole)
    assert np.array_equal(np.asarray(told[labels == 2]), whole[labels == 2])
    assert np.array_equal(np.asarray(told[labels < 3][4:9]), whole[labels < 3][4:9])
    assert np.array_equal(told[np.arange(123), labels], whole[np.arange(123), labels])
    assert told[7, 2] == whole[7, 2]
    assert (fitted(logits, labels), off(logits, labels)) == pytest.approx((temperature, chance), rel=1e-9)
    found = forecast(Logs(logits), labels)
    for name, score in scores(found).items():
        assert tuple(score) == pytest.approx(tuple(expected[0][name]), rel=1e-5, nan_ok=True), name
    assert np.allclose(strip(found).nll, expected[1].nll, rtol=1e-6)


def test_chosen_rows_share_the_logits(tmp_path: Path) -> None:
    rows = random_case(tmp_path / "case").rows
    one = forecast(rows.log_q, rows.labels)
    assert one.log_q.values is rows.student
    assert one.among(rows.labels == 1).log_q.values is rows.student


@dataclass(frozen=True)
class Pair:
    """Two arrays."""

    left: np.ndarray
    right: np.ndarray


def test_what_is_kept_is_bounded_in_bytes_and_the_newest_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    @kept
    def made(size: int) -> Pair:
        asked.append(size)
        whole = np.zeros(size, dtype=np.uint8)
        return Pair(whole[::2], whole)  # one array in memory

    monkeypatch.setattr(CASES, "most_bytes", 1000)
    for size in (400, 500, 400):
        made(size)
    assert (asked, CASES.held_bytes()) == ([400, 500], 900)
    made(300)  # 500 was asked for longest ago
    assert CASES.held_bytes() == 700
    made(400)
    assert (asked, CASES.held_bytes()) == ([400, 500, 300], 700)
    made(5000)
    assert CASES.held_bytes() == 5000
    made(5000)
    assert asked == [400, 500, 300, 5000]


def test_what_nobody_asks_for_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(cache.time, "monotonic", lambda: now[0])
    made = kept(lambda size: np.zeros(size, dtype=np.uint8))
    made(10)
    now[0] = 200.0
    made(20)
    now[0] = 350.0
    CASES.release()
    assert CASES.held_bytes() == 20


@pytest.mark.usefixtures("home")
def test_what_is_remembered_of_a_thing_goes_with_it() -> None:
    made = remembered(lambda case: case.id)
    case = random_case(folder_of("case-0123456789ab"))
    assert (made(case), made(Case(case.folder))) == (case.id, case.id)
    assert len(made.__closure__[1].cell_contents) <= 2  # type: ignore[attr-defined, index]
    del case
    assert not list(made.__closure__[1].cell_contents)  # type: ignore[attr-defined, index]


def test_a_cache_of_one_value_makes_it_once_a_key() -> None:
    cached: SingleEntryCache[str] = SingleEntryCache()
    made: list[str] = []

    def make(name: str) -> str:
        assert cached.value is None  # what was kept before is let go first
        made.append(name)
        return name

    for key in ("a", "a", "b", "b", "a"):
        assert cached.get(key, partial(make, key)) == key
    assert made == ["a", "b", "a"]
    with pytest.raises(ZeroDivisionError):
        cached.get("c", lambda: str(1 / 0))
    assert cached.value is None
