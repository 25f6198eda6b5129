"""Scores against libraries that others wrote; each is asked only where it is right."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, log_loss
from torchmetrics.functional.classification import multiclass_calibration_error

from kdcore.comparison.calibration import Forecast, by_mass, by_width, forecast
from kdcore.comparison.scores import scores
from kdcore.probes._bins import BINS
from kdcore.probes._numerics import log_softmax

with warnings.catch_warnings():  # their docstrings hold escapes that Python warns of where it compiles them first
    warnings.simplefilter("ignore")
    import relplot
    from netcal.metrics.confidence import ECE

SHAPES = [(600, 2, 1.0), (900, 10, 2.0), (1500, 60, 4.0)]


@pytest.fixture(params=SHAPES, ids=str)
def one(request: pytest.FixtureRequest) -> Forecast:
    rows, classes, scale = request.param
    rng = np.random.default_rng(rows)
    logits = rng.normal(size=(rows, classes)) * scale
    return forecast(
        log_softmax(logits), np.where(rng.random(rows) < 0.6, logits.argmax(1), rng.integers(classes, size=rows))
    )


def test_torchmetrics_and_netcal_find_the_same_ece(one: Forecast) -> None:
    q = np.exp(one.log_q)
    clamped = torch.from_numpy(q).clamp(max=1 - 1e-7)  # torchmetrics puts a confidence of 1 into a bin of its own
    found = scores(one)["ECE"].value
    assert found == pytest.approx(
        float(multiclass_calibration_error(clamped, torch.from_numpy(one.labels), q.shape[1], n_bins=BINS, norm="l1")),
        abs=1e-6,
    )
    assert found == pytest.approx(float(ECE(BINS).measure(one.sure, one.right.astype(int))), abs=1e-6)


def test_netcals_bins_of_equal_mass_find_nearly_the_same_adaptive_ece(one: Forecast) -> None:
    """Its edges lie between rows by interpolation and ours on rows, so a bin may differ by one row."""
    theirs = float(ECE(BINS, equal_intervals=False).measure(one.sure, one.right.astype(int)))
    assert scores(one)["adaptive ECE"].value == pytest.approx(theirs, abs=2 * BINS / len(one))


def test_sklearn_draws_the_same_curve(one: Forecast) -> None:
    accuracy, confidence = calibration_curve(one.right, one.sure, n_bins=BINS)
    bins = by_width(one)
    full = bins.count > 0
    assert bins.accuracy[full].tolist() == pytest.approx(accuracy.tolist(), abs=1e-12)
    assert bins.confidence[full].tolist() == pytest.approx(confidence.tolist(), abs=1e-12)


def test_bins_of_equal_mass_are_an_even_split_of_the_sorted_rows(one: Forecast) -> None:
    parts = np.array_split(np.sort(one.sure), BINS)
    assert by_mass(one).count.tolist() == [len(part) for part in parts]
    assert by_mass(one).confidence.tolist() == pytest.approx([part.mean() for part in parts])


def test_sklearn_finds_the_same_nll_and_brier_score(one: Forecast) -> None:
    q, found, classes = np.exp(one.log_q), scores(one), one.log_q.shape[1]
    assert found["NLL"].value == pytest.approx(log_loss(one.labels, q, labels=range(classes)), abs=1e-9)
    each = [brier_score_loss(one.labels == k, q[:, k]) for k in range(classes)]
    assert found["Brier"].value == pytest.approx(sum(each), abs=1e-9)


def test_class_wise_ece_is_the_mean_of_netcals_over_classes(one: Forecast) -> None:
    q, classes = np.exp(one.log_q), one.log_q.shape[1]
    each = [float(ECE(BINS).measure(q[:, k], (one.labels == k).astype(int))) for k in range(classes)]
    assert scores(one)["class-wise ECE"].value == pytest.approx(np.mean(each), abs=1e-6)


def test_relplot_finds_nearly_the_same_smooth_ece(one: Forecast) -> None:
    """It halves its bracket ten times and adds a little to the density, so it is near but not the same."""
    assert scores(one)["smooth ECE"].value == pytest.approx(relplot.smECE(one.sure, one.right.astype(float)), abs=2e-3)
