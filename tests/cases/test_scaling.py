"""One temperature: it is found where it was planted, changes no answer, and no row helps to choose its own."""

from pathlib import Path

import numpy as np
import pytest
from case_factory import case, random_case
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from kdcore.comparison.calibration import forecast
from kdcore.comparison.calibration_inheritance import heritage
from kdcore.comparison.case import Case, write_about
from kdcore.comparison.scores import scores
from kdcore.comparison.temperature_scaling import COLDEST, HOTTEST, crossed, fitted, scaled, strip
from kdcore.errors import BadInput
from kdcore.probes._numerics import log_softmax
from kdcore.runs.record import write_arrays


def nll(logits: np.ndarray, labels: np.ndarray, temperature: float = 1.0) -> float:
    return float(-log_softmax(logits, temperature)[np.arange(len(labels)), labels].mean())


def planted(rows: int, classes: int, temperature: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are `temperature` times too large for labels drawn of their softmax."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(rows, classes)) * 2
    labels = (np.exp(log_softmax(logits)).cumsum(1) < rng.random((rows, 1))).sum(1)
    return logits * temperature, labels


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_a_planted_temperature_is_found(temperature: float) -> None:
    logits, labels = planted(8000, 6, temperature)
    assert fitted(logits, labels) == pytest.approx(temperature, rel=0.05)


def test_another_search_finds_the_same_minimum() -> None:
    logits, labels = planted(300, 5, 1.7, 4)
    other = minimize_scalar(lambda beta: nll(logits, labels, 1 / beta), bounds=(0.05, 20), method="bounded",
                            options={"xatol": 1e-9})  # fmt: skip
    assert fitted(logits, labels) == pytest.approx(1 / other.x, rel=1e-5)


@given(st.integers(1, 40), st.integers(2, 6), st.integers(0, 99), st.floats(0.01, 50))
@settings(max_examples=60)
def test_it_never_raises_nll_on_its_rows_and_never_changes_an_answer(
    n: int, classes: int, seed: int, scale: float
) -> None:
    rng = np.random.default_rng(seed)
    logits, labels = rng.normal(size=(n, classes)) * scale, rng.integers(classes, size=n)
    temperature = fitted(logits, labels)
    assert COLDEST <= temperature <= HOTTEST
    assert nll(logits, labels, temperature) <= nll(logits, labels) + 1e-9
    assert np.array_equal((logits / temperature).argmax(1), logits.argmax(1))


def test_without_a_minimum_the_end_of_the_search_is_the_answer() -> None:
    logits = np.array([[2.0, 0.0], [0.0, 2.0]])
    assert fitted(logits, np.array([0, 1])) == COLDEST
    assert fitted(logits, np.array([1, 0])) == HOTTEST


def test_rows_without_labels_give_no_temperature() -> None:
    with pytest.raises(BadInput, match="no row has one"):
        fitted(np.zeros((2, 3)), np.array([-1, -1]))
    with pytest.raises(BadInput, match="fewer than two"):
        crossed(np.zeros((2, 3)), np.array([0, -1]))


def test_each_half_is_scaled_by_the_temperature_of_the_other() -> None:
    logits, labels = planted(400, 4, 2.0)
    found = crossed(logits, labels)
    first = np.isclose(found.each, found.temperatures[0])
    assert 180 <= first.sum() <= 220
    assert fitted(logits[~first], labels[~first]) == pytest.approx(found.temperatures[0])
    assert fitted(logits[first], labels[first]) == pytest.approx(found.temperatures[1])
    changed = labels.copy()
    row = int(np.flatnonzero(first)[0])
    changed[row] = (labels[row] + 1) % 4  # a row's own label plays no part in how it is scaled
    assert np.allclose(crossed(logits, changed).each[first], found.each[first])


def test_validation_rows_are_halved_and_others_wait_for_the_task(tmp_path: Path) -> None:
    val = random_case(tmp_path / "val")
    found = scaled(val)
    assert list(found.claims) == ["teacher", "student", "scaled"]
    assert found.halves is not None
    assert found.temperature == fitted(val.rows.student, val.rows.labels)
    test = random_case(tmp_path / "test")
    write_about(test.folder, test.about.model_copy(update={"where": "test"}))
    test = Case(test.folder)
    assert scaled(test).temperature is None
    assert "scaled" not in scaled(test).claims
    write_arrays(test.folder / "temperature.npz", {"temperature": np.array(2.0), "rows": np.array(77)})
    found = scaled(test)
    assert (found.temperature, found.halves, found.rows) == (2.0, None, 77)
    assert np.allclose(found.claims["scaled"].log_q, log_softmax(test.rows.student, 2.0))


def test_scaling_mends_a_student_that_is_too_sure(tmp_path: Path) -> None:
    logits, labels = planted(3000, 5, 3.0)
    found = {name: scores(one) for name, one in scaled(case(tmp_path, labels, logits)).claims.items()}
    assert found["scaled"]["ECE"].value < found["student"]["ECE"].value / 4
    assert found["scaled"]["accuracy"].value == found["student"]["accuracy"].value


def test_the_strip_is_the_scores_at_each_temperature() -> None:
    logits, labels = planted(200, 4, 2.0)
    found = strip(forecast(log_softmax(logits), labels))
    for place in (0, 9, 19, 29):
        told = scores(forecast(log_softmax(logits, found.temperatures[place]), labels))
        assert found.nll[place] == pytest.approx(told["NLL"].value, rel=1e-4)
        assert found.ece[place] == pytest.approx(told["ECE"].value, abs=1e-2)  # a row near an edge may fall beyond it
    assert found.temperatures[found.nll.argmin()] == pytest.approx(fitted(logits, labels), rel=0.1)


# What is inherited


def test_a_student_that_copies_its_teachers_gaps_is_found_out_and_another_is_not() -> None:
    rng = np.random.default_rng(0)
    rows, classes = 20_000, 12
    answers = rng.integers(classes, size=rows)
    accuracy = rng.uniform(0.6, 0.95, classes)[answers]
    labels = np.where(rng.random(rows) < accuracy, answers, (answers + 1) % classes)

    def claiming(confidence: np.ndarray) -> np.ndarray:
        other = ((1 - confidence) / (classes - 1))[:, None].repeat(classes, 1)
        other[np.arange(rows), answers] = confidence
        return np.log(other)

    lean = rng.uniform(-0.2, 0.05, classes)[answers]
    teacher = forecast(claiming(np.clip(accuracy - lean, 0.3, 0.99)), labels)
    heir = heritage(teacher, forecast(claiming(np.clip(accuracy - 0.7 * lean, 0.3, 0.99)), labels))
    honest = heritage(teacher, forecast(claiming(accuracy), labels))
    assert heir.by_class
    assert heir.low > 0.7
    assert honest.low < 0 < honest.high
    assert heir.count.sum() == rows


def test_few_classes_are_grouped_by_confidence_and_few_groups_have_no_correlation() -> None:
    logits, labels = planted(600, 2, 1.0)
    one = forecast(log_softmax(logits), labels)
    found = heritage(one, one)
    assert not found.by_class
    assert np.allclose(found.teacher, found.student)
    assert np.isnan(heritage(one.among(np.arange(600) < 30), one).correlation)
