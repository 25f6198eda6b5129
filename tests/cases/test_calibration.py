"""Bins, scores and risk by hand at the edges, by slow loops of their equations, and whatever must always hold."""

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from kdcore.comparison import scores as module
from kdcore.comparison.calibration import Forecast, by_answer, by_mass, by_width, forecast
from kdcore.comparison.risk_coverage import risk_coverage
from kdcore.comparison.scores import by_chance, resamples, scores
from kdcore.probes._bins import BINS, binned, equal_mass, equal_width
from kdcore.probes._numerics import log_softmax

drawn = given(st.integers(1, 60), st.integers(1, 8), st.integers(0, 99), st.sampled_from([0.0, 0.5, 3.0, 200.0]))
few = settings(max_examples=40)


def claims(rows: int, classes: int, seed: int = 0, scale: float = 2.0) -> Forecast:
    rng = np.random.default_rng(seed)
    return forecast(log_softmax(rng.normal(size=(rows, classes)) * scale), rng.integers(classes, size=rows))


def said(probabilities: list[list[float]], labels: list[int]) -> Forecast:
    with np.errstate(divide="ignore"):
        return forecast(np.log(np.array(probabilities, dtype=np.float64)), np.array(labels))


# What must always hold


@drawn
@few
def test_bins_hold_every_row_and_errors_of_calibration_are_fractions(
    n: int, classes: int, seed: int, scale: float
) -> None:
    one = claims(n, classes, seed, scale)
    for bins in (by_width(one), by_mass(one)):
        assert bins.count.sum() == n
        assert 0 <= bins.ece <= 1
    assert (by_mass(one).count > 0).all()
    found = scores(one)
    for name in ("ECE", "adaptive ECE", "smooth ECE", "class-wise ECE", "AURC", "accuracy"):
        assert -1e-12 <= found[name].value <= 1 + 1e-12, name
    assert found["ECE"].value == pytest.approx(by_width(one).ece, abs=1e-12)
    assert found["adaptive ECE"].value == pytest.approx(by_mass(one).ece, abs=1e-12)


@drawn
@few
def test_the_brier_score_is_reliability_minus_resolution_plus_uncertainty_of_the_binned_forecast(
    n: int, classes: int, seed: int, scale: float
) -> None:
    one = claims(n, classes, seed, scale)
    q, truth = np.exp(one.log_q), np.eye(classes)[one.labels]
    binned_q = q.copy()
    for k in range(classes):
        place = np.minimum(np.searchsorted(equal_width()[1:-1], q[:, k], side="right"), BINS - 1)
        for b in np.unique(place):
            binned_q[place == b, k] = q[place == b, k].mean()
    found = scores(one)
    parts = found["reliability"].value - found["resolution"].value + found["uncertainty"].value
    assert parts == pytest.approx(((binned_q - truth) ** 2).sum(1).mean(), abs=1e-9)
    assert found["Brier"].value == pytest.approx(((q - truth) ** 2).sum(1).mean(), abs=1e-9)
    assert found["Brier"].value == pytest.approx(parts + found["within bins"].value, abs=1e-9)


@drawn
@few
def test_the_curve_of_risk_ends_at_the_error_and_never_beats_the_oracle(
    n: int, classes: int, seed: int, scale: float
) -> None:
    one = claims(n, classes, seed, scale)
    found = risk_coverage(one)
    assert found.risk[-1] == pytest.approx(1 - one.right.mean())
    assert found.coverage[-1] == 1
    assert found.excess >= -1e-12
    told = scores(one)
    assert told["AURC"].value == pytest.approx(found.aurc, abs=1e-9)
    assert told["excess AURC"].value == pytest.approx(found.excess, abs=1e-9)


# By hand


def test_confidence_of_exactly_one_is_in_the_last_bin_of_both_kinds() -> None:
    one = said([[1.0, 0.0], [1.0, 0.0], [0.6, 0.4], [0.4, 0.6]], [0, 1, 0, 1])
    bins = by_width(one)
    assert (bins.count[-1], bins.confidence[-1], bins.accuracy[-1]) == (2, 1.0, 0.5)
    assert bins.count.sum() == 4
    assert bins.ece == pytest.approx((2 * 0.5 + 2 * 0.4) / 4)
    massed = by_mass(one)
    assert massed.count.tolist() == [2, 2]
    assert massed.edges.tolist() == [0.0, 1.0, 1.0]  # the last bin is the point 1


def test_empty_bins_are_not_numbers_and_count_for_nothing() -> None:
    bins = by_width(said([[0.9, 0.1]], [0]))
    assert bins.count.tolist() == [0] * 13 + [1, 0]
    assert np.isnan(bins.accuracy[0])
    assert np.isnan(bins.interval[0][0])
    assert bins.ece == pytest.approx(0.1)


def test_equal_confidences_stay_in_one_bin_whatever_their_order() -> None:
    sure = np.array([0.5] * 8 + [0.7, 0.9])
    right = np.array([True, False] * 5)
    edges = equal_mass(sure, 5)
    assert edges.tolist() == [0.0, 0.7, 1.0]
    order = np.random.default_rng(0).permutation(10)
    one, other = binned(sure, right, edges), binned(sure[order], right[order], equal_mass(sure[order], 5))
    assert one.count.tolist() == other.count.tolist() == [8, 2]
    assert np.allclose(one.accuracy, other.accuracy)


def test_one_class_is_always_right_and_perfectly_calibrated() -> None:
    found = scores(said([[1.0]] * 3, [0, 0, 0]))
    assert {found[name].value for name in ("ECE", "class-wise ECE", "Brier", "NLL", "AURC")} == {0.0}
    assert found["accuracy"].value == 1.0


def test_rows_without_label_or_answer_are_left_out_and_a_selection_counts_rows_of_the_case() -> None:
    log_q = log_softmax(np.array([[2.0, 0.0], [np.nan, 0.0], [0.0, 1.0], [3.0, 0.0]]))
    one = forecast(log_q, np.array([0, 0, -1, 1]))
    assert one.rows.tolist() == [0, 3]
    assert one.right.tolist() == [True, False]
    assert one.among(np.array([False, True, True, True])).rows.tolist() == [3]
    assert scores(one.among(np.zeros(4, dtype=bool))) == {}


def test_wilsons_interval_of_eight_of_ten() -> None:
    low, high = (side[0] for side in binned(np.full(10, 0.5), np.arange(10) < 8, np.array([0.0, 1.0])).interval)
    assert (low, high) == (pytest.approx(0.490163, abs=1e-5), pytest.approx(0.943318, abs=1e-5))


def test_risk_of_four_answers_by_hand() -> None:
    one = said([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4]], [0, 1, 0, 1])
    found = risk_coverage(one)
    assert found.risk.tolist() == pytest.approx([0, 1 / 2, 1 / 3, 1 / 2])
    assert found.aurc == pytest.approx((1 / 2 + 1 / 3 + 1 / 2) / 4)
    assert found.oracle == pytest.approx((1 / 3 + 1 / 2) / 4)


def test_equally_sure_answers_share_their_risk() -> None:
    one = said([[0.8, 0.2]] * 4, [0, 1, 1, 0])
    assert risk_coverage(one).risk.tolist() == pytest.approx([0.5] * 4)


def test_gaps_are_grouped_by_what_is_answered() -> None:
    found = by_answer(said([[0.9, 0.1, 0.0], [0.7, 0.3, 0.0], [0.2, 0.8, 0.0]], [0, 1, 1]))
    assert found.count.tolist() == [2, 1, 0]
    assert found.gap[:2].tolist() == pytest.approx([0.5 - 0.8, 1 - 0.8])
    assert np.isnan(found.gap[2])
    low, high = binomtest(1, 2).proportion_ci(method="wilson")
    assert (found.low[0], found.high[0]) == pytest.approx((low - 0.8, high - 0.8))


def test_smooth_ece_agrees_with_a_slow_sum_of_reflected_gaussians() -> None:
    one = claims(80, 3, 5)
    at = (np.arange(4000) + 0.5) / 4000

    def smoothed(width: float) -> float:
        images = [sign * one.sure + 2 * k for k in range(-3, 4) for sign in (1, -1)]
        kernel = sum(np.exp(-((at[:, None] - image) ** 2) / (2 * width**2)) for image in images)
        kernel /= np.sqrt(2 * np.pi) * width
        return float(np.abs(kernel @ (one.right - one.sure) / len(one)).mean())

    low, high = 1e-3, 1.0
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if smoothed(middle) > middle else (low, middle)
    assert scores(one)["smooth ECE"].value == pytest.approx(smoothed(low), abs=1e-4)


def test_always_one_and_always_wrong_is_the_worst_smooth_ece() -> None:
    assert scores(said([[1.0, 0.0]] * 5, [1] * 5))["smooth ECE"].value == pytest.approx(1.0, abs=1e-3)


# Intervals


def test_resamples_draw_as_many_rows_as_there_are_and_are_the_same_again() -> None:
    drawn_once = resamples(37)
    assert (drawn_once.sum(1) == 37).all()
    assert [len(resamples(rows)) for rows in (37, 2500, 5000, 50_000)] == [100, 100, 50, 30]
    resamples.cache_clear()
    assert np.array_equal(resamples(37), drawn_once)


def test_resampled_scores_are_those_of_the_resampled_rows() -> None:
    one, weights = claims(50, 4), resamples(50)[:3]
    for place, counts in enumerate(weights):
        again = np.repeat(np.arange(50), counts.astype(int))
        copied = Forecast(**{field.name: getattr(one, field.name)[again] for field in fields(one)})
        for measure, names in (
            (module.ece, ["ECE"]),
            (module._means, ["NLL", "Brier"]),
            (module.by_class, ["class-wise ECE", "reliability"]),
        ):
            for name in names:
                expected = measure(copied, np.ones((1, 50)))[name][0]
                assert measure(one, weights)[name][place] == pytest.approx(expected, abs=1e-5), name


def test_intervals_hold_the_true_error_about_as_often_as_they_say() -> None:
    """Confidence 0.9 that is right 0.8 of the time: an ECE of 0.1, in 100 samples of 300 rows."""
    held = 0
    for seed in range(100):
        wrong = (np.random.default_rng(seed).random(300) > 0.8).astype(int)
        score = scores(said([[0.9, 0.1]] * 300, wrong.tolist()))["ECE"]
        held += score.low <= 0.1 <= score.high
    assert held >= 88


def test_confidences_that_are_true_have_an_error_by_chance_alone() -> None:
    rng = np.random.default_rng(3)
    sure = rng.uniform(0.5, 1, 2000)
    one = said(np.stack([sure, 1 - sure], 1).tolist(), (rng.random(2000) > sure).astype(int).tolist())
    assert by_chance(one) == pytest.approx(scores(one)["ECE"].value, abs=0.012)
    assert np.isnan(by_chance(one.among(np.zeros(2000, dtype=bool))))


def test_intervals_stay_within_what_is_possible() -> None:
    found = scores(said([[0.99, 0.01]] * 39 + [[0.2, 0.8]] * 5, [0] * 44))
    assert found["accuracy"][1:] == pytest.approx(tuple(binomtest(39, 44).proportion_ci(method="wilson")))
    bounded = [one for name, one in found.items() if name not in ("Brier", "NLL") and np.isfinite(one.low)]
    assert len(bounded) >= 6
    assert all(0 <= one.low <= one.high <= 1 for one in bounded)
    assert found["NLL"].low >= 0
