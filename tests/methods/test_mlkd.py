"""Multi-level distillation against a slow loop over pairs of rows and of classes."""

import numpy as np
import pytest
import torch
from extremes import CASES, Case, batch_of, plain, softmax
from situation import situation
from test_losses import slow_kd
from torch import Tensor

from kdcore.contracts.method import ViewOutputs
from kdcore.methods.mlkd import MLKD, gram_gap, levels
from kdcore.nn.losses import cross_entropy

torch.set_num_threads(1)


def slow_pairs(p: np.ndarray, q: np.ndarray) -> float:
    """Squared difference of the products of all pairs of rows, per row."""
    return sum(
        (float(a @ b) - float(c @ d)) ** 2 for a, c in zip(p, q, strict=True) for b, d in zip(p, q, strict=True)
    ) / len(p)


def slow_levels(student: Tensor, teacher: Tensor, temperature: float) -> list[float]:
    p, q = (np.array([softmax(row / temperature) for row in plain(logits)]) for logits in (teacher, student))
    return [slow_kd(student, teacher, temperature), slow_pairs(p.T, q.T), slow_pairs(p, q)]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("temperature", [2.0, 6.0])
def test_levels_are_the_slow_loop(case: Case, temperature: float) -> None:
    student, teacher, _ = case
    expected = slow_levels(student, teacher, temperature)
    assert levels(student, teacher, temperature).tolist() == pytest.approx(expected, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_read_in_full(dtype: torch.dtype) -> None:
    student, teacher = (logits.to(dtype) for logits in CASES["huge"][:2])
    assert torch.equal(levels(student, teacher, 2.0), levels(student.float(), teacher.float(), 2.0))


def test_pairs_by_hand() -> None:
    # PP' = [[1, 0], [0, 1]], QQ' = [[.5, .5], [.5, .5]]: four gaps of a half, over two rows
    assert gram_gap(torch.eye(2), torch.full((2, 2), 0.5)).item() == pytest.approx(0.5)


def test_the_term_of_classes_grows_with_the_square_of_the_batch_and_that_of_samples_as_the_batch() -> None:
    student, teacher, _ = CASES["wide"]
    once = levels(student, teacher, 2.0)
    twice = levels(student.repeat(2, 1), teacher.repeat(2, 1), 2.0)
    torch.testing.assert_close(twice, once * torch.tensor([1.0, 4.0, 2.0]))


def test_equal_logits_give_zero_on_all_levels() -> None:
    teacher = CASES["wide"][1]
    assert levels(teacher, teacher, 4.0).tolist() == [0, 0, 0]


def test_both_views_and_all_five_temperatures_count_with_their_own_logits() -> None:
    method = MLKD(label_weight=0.5, kd_weight=2.0, class_weight=3.0, batch_weight=4.0)
    weak, strong = CASES["random"], tuple(part + 1.0 * torch.arange(5) for part in CASES["random"][:2])
    batch = batch_of(method, weak)
    second = ViewOutputs(
        batch.student._replace(logits=strong[0]), batch.teacher._replace(logits=strong[1]), batch.labels
    )
    terms = method.terms(batch._replace(second=second), None)
    found = [terms[name].value.item() for name in ("kd", "classes", "batch")]
    views = [weak[:2], strong]
    expected = np.sum([slow_levels(*view, t) for view in views for t in (2.0, 3.0, 4.0, 5.0, 6.0)], axis=0)
    assert found == pytest.approx(expected, rel=1e-5)
    labels = sum(cross_entropy(view[0], batch.labels).item() for view in views)
    assert terms["labels"].value.item() == pytest.approx(labels)
    assert [term.weight for term in terms.values()] == [0.5, 2.0, 3.0, 4.0]


def test_standardised_it_is_blind_to_shift_and_scale() -> None:
    method = MLKD(standardise=True)
    batch = situation(method).batch
    moved = batch._replace(student=batch.student._replace(logits=3 * batch.student.logits + 2))
    for name in ("kd", "classes", "batch"):
        torch.testing.assert_close(method.terms(moved, None)[name].value, method.terms(batch, None)[name].value)
