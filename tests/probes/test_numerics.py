"""The numerics against scipy-free arithmetic, torch, and their own laws."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from kdcore.probes._numerics import NO_ANSWER, kl_nats, log_softmax, mean, softmax, thinned, top_class

LOGITS = arrays(np.float64, st.tuples(st.integers(1, 6), st.integers(2, 9)), elements=st.floats(-1e4, 1e4))
TEMPERATURES = st.floats(0.1, 50)


@given(LOGITS, TEMPERATURES)
def test_softmax_sums_to_one(logits: np.ndarray, temperature: float) -> None:
    assert softmax(logits, temperature).sum(axis=-1) == pytest.approx(1.0)


@given(LOGITS, TEMPERATURES, st.floats(-100, 100))
def test_a_shift_of_all_logits_changes_nothing(logits: np.ndarray, temperature: float, shift: float) -> None:
    assert softmax(logits + shift, temperature) == pytest.approx(softmax(logits, temperature), abs=1e-9)


@given(LOGITS, TEMPERATURES)
def test_divergence_is_never_negative_and_zero_to_itself(logits: np.ndarray, temperature: float) -> None:
    assert (kl_nats(logits, logits[:, ::-1], temperature) >= 0).all()
    assert kl_nats(logits, logits, temperature) == pytest.approx(0.0)


def test_they_agree_with_torch() -> None:
    random = np.random.default_rng(0)
    teacher, student = random.normal(size=(2, 5, 7)) * 4
    log_p, log_q = (torch.from_numpy(x / 3).log_softmax(1) for x in (teacher, student))
    reference = torch.nn.functional.kl_div(log_q, log_p, log_target=True, reduction="none").sum(1)
    assert log_softmax(teacher, 3) == pytest.approx(log_p.numpy(), abs=1e-12)
    assert kl_nats(teacher, student, 3) == pytest.approx(reference.numpy(), abs=1e-12)


def test_two_even_classes_by_hand() -> None:
    assert kl_nats(np.array([0.0, 0.0]), np.log([0.8, 0.2])) == pytest.approx(0.5 * np.log(0.5**2 / 0.16))


def test_logits_of_float32_s_whole_range_raise_nothing() -> None:
    logits = np.array([[3e38, -3e38, 0.0]], dtype=np.float32)
    assert softmax(logits, 0.1).tolist() == [[1.0, 0.0, 0.0]]
    assert kl_nats(logits, logits).tolist() == [0.0]


def test_a_class_the_teacher_rules_out_costs_nothing() -> None:
    assert kl_nats(np.array([0.0, -np.inf]), np.array([0.0, 0.0])) == pytest.approx(np.log(2))


def test_what_is_not_finite_is_no_answer() -> None:
    logits = np.array([[1.0, 2.0], [np.nan, 2.0], [np.inf, 0.0], [-np.inf, 0.0], [-np.inf, -np.inf]])
    assert top_class(logits).tolist() == [1, NO_ANSWER, NO_ANSWER, 1, NO_ANSWER]
    assert np.isnan(softmax(logits[1])).all()


def test_of_equals_the_first_is_the_answer() -> None:
    assert top_class(np.zeros((2, 3))).tolist() == [0, 0]


def test_means_leave_out_what_is_unknown() -> None:
    assert mean(np.array([1.0, np.nan, 3.0])) == 2.0
    assert np.isnan(mean(np.array([])))


@given(st.integers(0, 500), st.integers(1, 50))
def test_thinning_keeps_order_and_both_ends(count: int, limit: int) -> None:
    kept = thinned(count, limit)
    assert len(kept) == min(count, limit)
    assert (np.diff(kept) > 0).all()
    if count and limit > 1:
        assert (kept[0], kept[-1]) == (0, count - 1)
