"""Rank sums, shares and rates of false discoveries, against scipy and by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from kdcore.comparison.significance import discovered, more_often, ranks, worse

NUMBERS = st.lists(st.integers(0, 9), min_size=4, max_size=60)


@given(NUMBERS, st.integers(0, 2**31))
def test_rank_sums_are_those_of_scipy(numbers: list[int], seed: int) -> None:
    values = np.array(numbers, dtype=float)
    inside = np.zeros(len(values), dtype=bool)
    inside[np.random.default_rng(seed).permutation(len(values))[: len(values) // 2]] = True
    found = worse(values, inside)
    if len(set(numbers)) == 1:
        assert found == (0.5, 0.0, 1.0)
        return
    expected = stats.mannwhitneyu(values[inside], values[~inside], alternative="greater", method="asymptotic")
    assert found.p == pytest.approx(expected.pvalue, abs=1e-12)
    assert found.share == pytest.approx(expected.statistic / (inside.sum() * (~inside).sum()))
    assert np.array_equal(ranks(values), stats.rankdata(values))


def test_a_rank_sum_by_hand() -> None:
    found = worse(np.array([3.0, 4.0, 1.0, 2.0]), np.array([True, True, False, False]))
    assert found.share == 1.0
    assert found.z == pytest.approx((4 - 2 - 0.5) / np.sqrt(4 * 5 / 12))


@pytest.mark.parametrize("inside", [[True, True], [False, False]])
def test_nothing_is_compared_with_nothing(inside: list[bool]) -> None:
    assert worse(np.array([1.0, 2.0]), np.array(inside)).p == 1.0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50))
def test_rates_of_false_discoveries_are_those_of_scipy(p: list[float]) -> None:
    assert discovered(np.array(p)) == pytest.approx(stats.false_discovery_control(p), abs=1e-12)


def test_no_test_discovers_nothing() -> None:
    assert discovered(np.empty(0)).shape == (0,)


def test_shares_are_fisher_s() -> None:
    table = [[8, 2], [5, 15]]
    expected = stats.fisher_exact(table, alternative="greater").pvalue
    found = more_often(np.array([8]), np.array([10]), 13, 30)
    assert found[0] == pytest.approx(expected)
