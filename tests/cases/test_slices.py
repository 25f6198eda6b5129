"""Slices: what was planted is found, what was not is not, and a slice is the selection it says."""

from pathlib import Path

import numpy as np
import pytest
from case_factory import case, random_case
from scipy import stats

from kdcore.comparison.selection import mask
from kdcore.comparison.slices import RATE, Condition, FoundSlice, halves, search, slices, spans

ROWS = 4000


def columns(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, brightness and slant (N,) that have nothing to do with one another."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 5, ROWS), rng.random(ROWS), rng.normal(0, 10, ROWS)


def terms(seed: int) -> list[Condition]:
    labels, brightness, slant = columns(seed)
    found = [Condition("true", f"true={k}", labels == k) for k in range(5)]
    for name, values in (("brightness", brightness), ("slant", slant)):
        cuts = np.quantile(values, [0, 0.2, 0.4, 0.6, 0.8, 1])
        for k in range(5):
            inside = (values >= cuts[k]) & ((values < cuts[k + 1]) | (k == 4))
            found.append(Condition(name, f"{name}={k}", inside))
    return found


def planted(seed: int, where: np.ndarray | None = None, times: float = 4.0) -> np.ndarray:
    """KL (N,) that is skewed as real ones are, larger on some rows."""
    kl = np.random.default_rng(seed + 1000).gamma(0.3, 1.0, ROWS)
    return kl if where is None else np.where(where, times * kl, kl)


def found(seed: int, kl: np.ndarray) -> FoundSlice:
    return search(kl, terms(seed), halves(ROWS, seed))


@pytest.mark.parametrize("seed", range(10))
def test_a_planted_condition_is_the_only_one_found(seed: int) -> None:
    here = found(seed, planted(seed, columns(seed)[0] == 3))
    assert [one.select for one in here.slices][:1] == ["true=3"]
    assert len(here.slices) <= 2


def test_the_interval_of_a_slice_is_that_of_students_t_on_the_rows_that_test() -> None:
    """Of few rows, where 1.96 standard errors would be too narrow, and never below 0."""
    labels, half = np.where(np.arange(ROWS) < 40, 3, 0), halves(ROWS, 0)
    kl = planted(0, labels == 3, 30.0)
    (one,) = search(kl, [Condition("true", f"true={k}", labels == k) for k in (0, 3)], half).slices
    inside = kl[~half & (labels == 3)]
    low, high = stats.t.interval(0.95, len(inside) - 1, inside.mean(), stats.sem(inside))
    assert len(inside) == one.tested < 30
    assert (one.low, one.high) == (pytest.approx(max(low, 0.0)), pytest.approx(high))
    assert one.high - one.kl > 1.02 * 1.96 * stats.sem(inside)


def test_a_planted_pair_is_found_as_a_pair() -> None:
    hits = 0
    for seed in range(10):
        labels, brightness, _ = columns(seed)
        here = found(seed, planted(seed, (labels == 3) & (brightness < 0.2), 12.0))
        hits += bool(here.slices) and here.slices[0].select == "true=3;brightness=0"
    assert hits >= 9


def test_nothing_planted_is_nothing_found() -> None:
    clean = sum(not found(seed, planted(seed)).slices for seed in range(200))
    assert clean >= 190


def test_figures_are_those_of_the_half_that_was_not_looked_at() -> None:
    kl, half = planted(1, columns(1)[0] == 3), halves(ROWS, 1)
    one = search(kl, terms(1), half).slices[0]
    inside = (columns(1)[0] == 3) & ~half
    assert one.rows == (columns(1)[0] == 3).sum()
    assert one.tested == inside.sum()
    assert one.kl == pytest.approx(kl[inside].mean())
    assert one.outside == pytest.approx(kl[~inside & ~half].mean())
    assert one.p <= one.q <= RATE


def test_a_column_of_kinds_is_read_by_kind_and_others_in_bins() -> None:
    assert spans(np.array([0.0, 2.0, 2.0, 5.0, np.nan])) == ["0", "2", "5"]
    assert spans(np.full(9, 0.3)) == []
    assert spans(np.linspace(0, 1, 101)) == ["..0.2", "0.2..0.4", "0.4..0.6", "0.6..0.8", "0.8.."]


def test_a_slice_is_the_selection_it_says(tmp_path: Path) -> None:
    labels, brightness, slant = columns(4)
    rng = np.random.default_rng(4)
    teacher = 4 * np.eye(5)[labels] + rng.normal(size=(ROWS, 5))
    spoiled = (brightness >= 0.8)[:, None]
    student = np.where(spoiled, rng.normal(size=(ROWS, 5)), teacher + 0.3 * rng.normal(size=(ROWS, 5)))
    made = case(tmp_path, labels, student, teacher, columns={"brightness": brightness, "slant": slant, "a=b": slant})
    here = slices(made)
    assert here.slices[0].select.startswith("brightness=")
    for one in here.slices:
        assert mask(made, one.select).sum() == one.rows
        assert "student" not in one.select
        assert "a=b" not in one.select


def test_few_rows_are_too_few(tmp_path: Path) -> None:
    assert slices(random_case(tmp_path, rows=15)).slices == ()


def test_rows_that_are_no_number_are_left_out(tmp_path: Path) -> None:
    made = random_case(tmp_path, rows=300)
    logits = np.array(made.rows.student)
    logits[7] = np.nan
    broken = case(tmp_path / "broken", made.rows.labels, logits, made.rows.teacher)
    assert np.isfinite(slices(broken).overall)
