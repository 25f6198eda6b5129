"""Additive models against truths made by hand, their bands, and what both models miss."""

import numpy as np
import pytest
from scipy.special import expit

from kdcore.errors import BadInput
from kdcore.mimics.gam import (
    KNOTS,
    LARGEST_SCORE,
    RIDGE,
    STIFFNESS,
    Missed,
    fit,
    gam_mimic,
    hats,
    knots_of,
    log_odds,
    missed_together,
    scores,
)


def inputs(rows: int = 400, count: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, size=(rows, count))


def truth(x: np.ndarray) -> np.ndarray:
    """An additive score; the third input says nothing."""
    found: np.ndarray = 1.5 * np.sin(2 * x[:, 0]) + 2 * x[:, 1] ** 2
    return found


def two(score: np.ndarray) -> np.ndarray:
    """Probabilities (N, 2) of log-odds of class 1."""
    p = expit(score)
    return np.stack([1 - p, p], axis=1)


# --- the model -------------------------------------------------------------------------------------------------------


def test_hats_interpolate_between_the_knots() -> None:
    x = inputs(30)
    knots = knots_of(x)
    heights = np.random.default_rng(1).normal(size=knots.shape)
    drawn = (hats(x, knots) * heights).sum(2)
    for f in range(x.shape[1]):
        np.testing.assert_allclose(drawn[:, f], np.interp(x[:, f], knots[f], heights[f]), atol=1e-9)
    outside = np.array([[9.0, -9.0, 0.0]])
    np.testing.assert_allclose((hats(outside, knots) * heights).sum(2)[0, :2], [heights[0, -1], heights[1, 0]])


def slow_loss(heights: np.ndarray, intercept: float, x: np.ndarray, target: np.ndarray, logistic: bool) -> float:
    """What the fit is to make small, row by row and bend by bend."""
    knots, total = knots_of(x), 0.0
    for row, wanted in zip(x, target, strict=True):
        score = intercept + sum(np.interp(row[f], knots[f], heights[f]) for f in range(x.shape[1]))
        total += np.log(1 + np.exp(score)) - wanted * score if logistic else (wanted - score) ** 2 / 2
    for line in heights:
        for k in range(1, len(line) - 1):
            total += STIFFNESS * (line[k - 1] - 2 * line[k] + line[k + 1]) ** 2 / 2
    return float(total)


@pytest.mark.parametrize("logistic", [False, True])
def test_no_small_change_makes_the_loss_smaller(logistic: bool) -> None:
    """The weak pull of heights to 0 is left out of the loop, as it acts on heights before they are centred."""
    x = inputs(60, 2)
    rng = np.random.default_rng(3)
    target = (rng.random(60) < expit(truth(x))).astype(float) if logistic else truth(x) + rng.normal(size=60)
    model = fit(x, target, knots_of(x), logistic)
    best = slow_loss(model.heights, model.intercept, x, target, logistic)
    for _ in range(40):
        bent = model.heights + 0.1 * rng.normal(size=model.heights.shape)
        slack = RIDGE * (np.abs(model.heights).max() + 1) ** 2
        assert slow_loss(bent, model.intercept + 0.05 * rng.normal(), x, target, logistic) > best - slack


def test_shapes_have_mean_zero_over_the_rows() -> None:
    x = inputs()
    model = fit(x, truth(x), knots_of(x), False)
    np.testing.assert_allclose((hats(x, model.knots) * model.heights).sum(2).mean(0), 0, atol=1e-9)
    assert model.intercept == pytest.approx(truth(x).mean(), abs=1e-6)


def test_a_straight_line_is_recovered_almost_exactly() -> None:
    x = inputs()
    model = fit(x, 3 * x[:, 0] - x[:, 1] + 0.5, knots_of(x), False)
    np.testing.assert_allclose(scores(model, x), 3 * x[:, 0] - x[:, 1] + 0.5, atol=0.01)


def test_rows_that_can_be_told_apart_without_error_do_no_harm() -> None:
    x = inputs(100, 1)
    model = fit(x, (x[:, 0] > 0).astype(float), knots_of(x), True)
    assert np.isfinite(model.heights).all()
    assert ((scores(model, x) > 0) == (x[:, 0] > 0)).mean() > 0.95


def test_log_odds_undo_a_sigmoid_and_stop_somewhere() -> None:
    score = np.array([-3.0, 0.0, 2.5])
    np.testing.assert_allclose(log_odds(expit(score)), score)
    assert log_odds(np.array([0.0, 1.0, 1.0000001])).tolist() == [-LARGEST_SCORE, LARGEST_SCORE, LARGEST_SCORE]


# --- mimic and outcome -----------------------------------------------------------------------------------------------


def test_an_additive_truth_is_recovered_with_its_bands() -> None:
    x, rng = inputs(1500), np.random.default_rng(2)
    p = two(truth(x))
    labels = (rng.random(len(x)) < p[:, 1]).astype(int)
    found = gam_mimic(x, p, labels, of_class=1)
    assert found.r2 > 0.99
    assert found.same_side > 0.95
    shapes = {shape.feature: shape for shape in found.shapes}
    for f, part in ((0, lambda v: 1.5 * np.sin(2 * v)), (1, lambda v: 2 * v**2), (2, lambda v: 0 * v)):
        true = part(shapes[f].at) - part(x[:, f]).mean()
        assert shapes[f].at.shape == (KNOTS,)
        np.testing.assert_allclose(shapes[f].score, true, atol=0.12)
        inside = (shapes[f].outcome_band[0] - 0.3 <= true) & (true <= shapes[f].outcome_band[1] + 0.3)
        assert inside.all()
        assert (shapes[f].outcome_band[1] - shapes[f].outcome_band[0] > 0.1).all()
        assert (shapes[f].score_band[0] <= shapes[f].score_band[1]).all()
    assert [shape.feature for shape in found.shapes][-1] == 2


def together(score: np.ndarray, x: np.ndarray, seed: int) -> float:
    """The correlation of what both models miss where labels are drawn from the teacher's own probability."""
    labels = (np.random.default_rng(seed).random(len(x)) < expit(score)).astype(int)
    return gam_mimic(x, two(score), labels, of_class=1, draws=2, seed=seed).missed.correlation


def test_what_both_miss_goes_together_for_hidden_inputs_pairs_and_fine_shapes_alike() -> None:
    """So no verdict may be drawn from it: the third teacher knows the inputs only, each for itself."""
    x, unseen = inputs(300, 4), np.random.default_rng(9).normal(size=300)
    hidden, pair = 2 * x[:, 0] + 2 * unseen, 2 * x[:, 0] + 4 * x[:, 1] * x[:, 2]
    fine = 2 * np.sin(8 * np.pi * x).sum(1)
    assert min(together(score, x, 0) for score in (hidden, pair, fine)) > 0.2
    assert abs(together(2 * x[:, 0] - x[:, 1], x, 0)) < 0.2


def test_what_is_missed_together_is_a_correlation_and_its_rows() -> None:
    a, b = np.random.default_rng(0).normal(size=(2, 40))
    assert missed_together(a, b).correlation == pytest.approx(np.corrcoef(a, b)[0, 1])
    assert missed_together(a, 2 * a + 1).correlation == pytest.approx(1.0)
    assert missed_together(a, np.ones(40)) == Missed(0.0, 40)


def test_bands_cover_a_linear_truth_as_often_as_they_say() -> None:
    """Pointwise at the inner knots, over drawn data; three standard errors of 40 draws of data are about 5 points."""
    covered: dict[str, list[float]] = {"score": [], "outcome": []}
    for seed in range(40):
        x, rng = inputs(300, 2, seed), np.random.default_rng(seed)
        happened = (rng.random(300) < expit(2 * x[:, 0] - x[:, 1])).astype(int)
        noisy = two(2 * x[:, 0] - x[:, 1] + rng.normal(size=300))
        for shape in gam_mimic(x, noisy, happened, of_class=1, seed=seed).shapes:
            true = (2, -1)[shape.feature] * (shape.at - x[:, shape.feature].mean())
            for name, (low, high) in (("score", shape.score_band), ("outcome", shape.outcome_band)):
                covered[name].append(((low <= true) & (true <= high))[1:-1].mean())
    assert 0.92 <= np.mean(covered["score"]) <= 0.98, np.mean(covered["score"])
    assert 0.92 <= np.mean(covered["outcome"]) <= 0.98, np.mean(covered["outcome"])


def test_inputs_that_never_change_are_left_out() -> None:
    x = np.column_stack([inputs(80, 1), np.full(80, 3.0), inputs(80, 1, seed=4)])
    found = gam_mimic(x, two(x[:, 0]), (x[:, 0] > 0).astype(int), of_class=1, draws=2)
    assert {shape.feature for shape in found.shapes} == {0, 2}
    with pytest.raises(BadInput, match="all rows are alike"):
        gam_mimic(np.ones((80, 2)), two(x[:, 0]), (x[:, 0] > 0).astype(int), of_class=1)
