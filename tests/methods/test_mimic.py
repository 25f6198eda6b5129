"""Regression on logits against a loop, and what it sees that a softmax does not."""

import pytest
import torch
from situation import situation
from slow import draw, rows_of

from kdcore.methods.mimic import Mimic, squared_distance


@pytest.mark.parametrize(("rows", "classes", "scale"), [(1, 2, 1.0), (5, 7, 1.0), (4, 3, 1e3)])
def test_it_is_the_mean_over_rows_and_classes(rows: int, classes: int, scale: float) -> None:
    student, teacher = draw(rows, classes, scale, seed=1), draw(rows, classes, scale, seed=2)
    total = 0.0
    for ours, theirs in zip(rows_of(student), rows_of(teacher), strict=True):
        for mine, other in zip(ours, theirs, strict=True):
            total += (mine - other) ** 2
    assert float(squared_distance(student, teacher)) == pytest.approx(total / (rows * classes), rel=1e-5)


def test_the_gradient_is_the_gap() -> None:
    student, teacher = draw(3, 4, seed=1).requires_grad_(), draw(3, 4, seed=2)
    (gradient,) = torch.autograd.grad(squared_distance(student, teacher), student)
    torch.testing.assert_close(gradient, 2 * (student - teacher).detach() / 12)


def test_a_shift_that_a_softmax_forgets_is_seen_in_full() -> None:
    logits = draw(5, 4)
    assert float(squared_distance(logits + 3.0, logits)) == pytest.approx(9.0, rel=1e-5)


def test_an_equal_student_is_done_and_the_weights_are_the_knobs() -> None:
    method = Mimic(label_weight=2.0, logit_weight=3.0)
    batch = situation(method).batch
    terms = method.terms(batch._replace(student=batch.teacher), None)
    assert terms["logits"].value == 0
    assert {name: term.weight for name, term in terms.items()} == {"labels": 2.0, "logits": 3.0}
