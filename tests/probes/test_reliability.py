"""Calibration against torchmetrics and scikit-learn, and by hand at the edges."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from record_factory import Run, record
from sklearn.metrics import log_loss
from torchmetrics.functional.classification import multiclass_calibration_error

from kdcore.probes._bins import BINS
from kdcore.probes._numerics import softmax
from kdcore.probes.reliability import calibration, reliability


def case(rows: int, classes: int, seed: int, scale: float) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return random.normal(size=(rows, classes)) * scale, random.integers(classes, size=rows)


@pytest.mark.parametrize(("classes", "scale"), [(2, 0.5), (10, 2.0), (100, 4.0)])
def test_ece_and_nll_agree_with_other_libraries(classes: int, scale: float) -> None:
    logits, truth = case(500, classes, 1, scale)
    probabilities = softmax(logits)
    found = calibration(logits, truth)
    clamped = torch.from_numpy(probabilities).clamp(max=1 - 1e-7)  # keeps confidence 1 out of its extra bin
    reference = multiclass_calibration_error(clamped, torch.from_numpy(truth), classes, n_bins=BINS, norm="l1")
    assert found.ece == pytest.approx(float(reference), abs=1e-6)
    assert found.nll_nats == pytest.approx(log_loss(truth, probabilities, labels=range(classes)), abs=1e-9)


@given(st.integers(1, 80), st.integers(2, 12), st.integers(0, 99), st.floats(0.01, 1e3))
def test_bins_hold_every_row_and_ece_is_a_fraction(rows: int, classes: int, seed: int, scale: float) -> None:
    found = calibration(*case(rows, classes, seed, scale))
    assert found.count.sum() == rows
    assert 0 <= found.ece <= 1
    assert np.array_equal(np.isnan(found.accuracy), found.count == 0)
    assert np.nansum(found.count * np.abs(found.gap)) / rows == pytest.approx(found.ece)


def test_confidence_of_exactly_one_is_in_the_last_bin() -> None:
    found = calibration(np.array([[1e4, 0.0], [1e4, 0.0]]), np.array([0, 1]))
    assert found.count.tolist() == [0] * (BINS - 1) + [2]
    assert (found.confidence[-1], found.accuracy[-1], found.ece) == (1.0, 0.5, 0.5)
    assert found.nll_nats == pytest.approx(5000)


def test_ties_count_for_the_first_class() -> None:
    found = calibration(np.zeros((4, 2)), np.array([0, 0, 1, 1]))
    assert found.count.argmax() == 7  # 0.5 lies in [7/15, 8/15)
    assert found.ece == 0.0


def test_one_class_is_always_right() -> None:
    found = calibration(np.zeros((3, 1)), np.zeros(3, dtype=int))
    assert (found.ece, found.nll_nats) == (0.0, 0.0)


def test_rows_without_an_answer_count_for_nothing() -> None:
    logits, truth = case(20, 3, 0, 1.0)
    spoilt = np.vstack([logits, np.full((5, 3), np.nan)])
    assert calibration(spoilt, np.append(truth, [0] * 5)).ece == calibration(logits, truth).ece
    assert np.isnan(calibration(np.full((2, 3), np.nan), np.array([0, 1])).ece)


def test_both_networks_are_measured() -> None:
    assert reliability(record()).teacher is not None
    assert reliability(record(Run(teacher=False))).teacher is None
