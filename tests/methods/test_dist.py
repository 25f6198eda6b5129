"""DIST against a slow loop of Pearson correlations."""

import numpy as np
import pytest
import torch
from extremes import CASES, Case, batch_of, plain, softmax
from torch import Tensor

from kdcore.methods.dist import DIST, decorrelation, dist_losses

torch.set_num_threads(1)
LEAST = 1e-4


def slow_pearson(one: np.ndarray, other: np.ndarray) -> float:
    mine, theirs = ([value - sum(part) / len(part) for value in part] for part in (one, other))
    lengths = [max(LEAST, sum(value**2 for value in part) ** 0.5) for part in (mine, theirs)]
    return sum(a * b for a, b in zip(mine, theirs, strict=True)) / (lengths[0] * lengths[1])


def slow_dist(student: Tensor, teacher: Tensor, temperature: float) -> list[float]:
    p, q = (np.array([softmax(row / temperature) for row in plain(logits)]) for logits in (teacher, student))
    sides = (p, q), (p.T, q.T)
    return [
        temperature**2 * float(np.mean([1 - slow_pearson(*pair) for pair in zip(*side, strict=True)])) for side in sides
    ]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_it_is_the_slow_loop(case: Case, temperature: float) -> None:
    student, teacher, _ = case
    found = [loss.item() for loss in dist_losses(student, teacher, temperature)]
    assert found == pytest.approx(slow_dist(student, teacher, temperature), rel=1e-5, abs=2e-5 * temperature**2)


def test_ordinary_rows_agree_with_numpys_correlation() -> None:
    rows, others = (plain(part) for part in CASES["wide"][:2])
    expected = np.mean([1 - np.corrcoef(a, b)[0, 1] for a, b in zip(rows, others, strict=True)])
    found = decorrelation(torch.from_numpy(rows), torch.from_numpy(others))
    assert found.item() == pytest.approx(expected, abs=1e-6)


def test_a_rising_line_is_zero_and_a_falling_one_two() -> None:
    rows = CASES["random"][0]
    assert decorrelation(3 * rows + 1, rows).item() == pytest.approx(0, abs=1e-6)
    assert decorrelation(-rows, rows).item() == pytest.approx(2, abs=1e-6)


def test_equal_logits_are_zero() -> None:
    teacher = CASES["random"][1]
    assert [loss.item() for loss in dist_losses(teacher + 2, teacher, 4.0)] == pytest.approx([0, 0], abs=1e-5)


def test_a_student_that_answers_all_alike_is_pulled_finitely() -> None:
    student = torch.zeros(5, 4, requires_grad=True)
    sum(dist_losses(student, CASES["sure teacher"][1], 1.0)).backward()
    assert student.grad.abs().max() < 1e4


def test_two_classes_leave_nothing_to_relate_within_a_row() -> None:
    student = CASES["two classes"][0].clone().requires_grad_()
    dist_losses(student, CASES["two classes"][1], 1.0)[0].backward()
    assert student.grad.abs().max() < 1e-5


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_read_in_full(dtype: torch.dtype) -> None:
    student, teacher = (logits.to(dtype) for logits in CASES["wide"][:2])
    assert dist_losses(student, teacher, 4.0) == dist_losses(student.float(), teacher.float(), 4.0)


def test_weights_are_the_knobs() -> None:
    method = DIST(label_weight=0.5, beta=3.0, gamma=4.0)
    terms = method.terms(batch_of(method, CASES["random"]), None)
    assert [(name, term.weight) for name, term in terms.items()] == [("labels", 0.5), ("inter", 3.0), ("intra", 4.0)]
    for method, temperature in ((DIST(), 4.0), (DIST(temperature=1.5), 1.5)):
        terms = method.terms(batch_of(method, CASES["random"]), None)
        expected = slow_dist(*CASES["random"][:2], temperature)
        assert [terms[name].value.item() for name in ("inter", "intra")] == pytest.approx(expected, rel=1e-5)
