"""Rank sums, shares and rates of false discoveries, against scipy and by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from kdcore.comparison.significance import discovered, more_often, worse

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


def test_a_rank_sum_by_hand() -> None:
    found = worse(np.array([3.0, 4.0, 1.0, 2.0]), np.array([True, True, False, False]))
    assert found.share == 1.0
    assert found.z == pytest.approx((4 - 2 - 0.5) / np.sqrt(4 * 5 / 12))


@pytest.mark.parametrize("inside", [[True, True], [False, False]])
def test_nothing_is_compared_with_nothing(inside: list[bool]) -> None:
    assert worse(np.array([1.0, 2.0]), np.array(inside)).p == 1.0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50))
def test_rates_of_false_discoveries_are_those_by_hand(p: list[float]) -> None:
    assert discovered(np.array(p)) == pytest.approx(by_hand(np.array(p)), abs=1e-12)


def by_hand(p: np.ndarray) -> np.ndarray:
    """Benjamini and Hochberg: each p times the number of tests over its place, never above a larger p's."""
    order = np.argsort(p)
    raised = p[order] * len(p) / np.arange(1, len(p) + 1)
    found = np.empty(len(p))
    found[order] = np.minimum.accumulate(raised[::-1])[::-1].clip(max=1.0)
    return found


def test_a_p_that_rounding_lifted_above_one_is_one() -> None:
    assert discovered(np.array([1 + 1e-12, 0.5])).tolist() == [1.0, 1.0]


def test_no_test_discovers_nothing() -> None:
    assert discovered(np.empty(0)).shape == (0,)


def test_shares_are_fisher_s() -> None:
    table = [[8, 2], [5, 15]]
    expected = stats.fisher_exact(table, alternative="greater").pvalue
    found = more_often(np.array([8]), np.array([10]), 13, 30)
    assert found[0] == pytest.approx(expected)
