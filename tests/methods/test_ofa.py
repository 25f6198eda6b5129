"""The loss of one-for-all against a loop and its identities, and the exits that it is asked at."""

import math

import numpy as np
import pytest
import torch
from situation import situation
from slow import draw
from test_losses import softmax_log
from torch import Tensor

from kdcore.methods.ofa import OFA, exit_head, ofa_loss
from kdcore.nn.losses import kl, log_probs

torch.set_num_threads(1)


def slow(student: Tensor, teacher: Tensor, targets: Tensor, exponent: float) -> float:
    """The equation over rows and classes."""
    rows = zip(student.detach().double().numpy(), teacher.double().numpy(), targets.tolist(), strict=True)
    found = []
    for s, t, y in rows:
        log_p, log_q = softmax_log(t), softmax_log(s)
        row = 0.0
        for c in range(len(s)):
            hit = float(c == y)
            row -= ((math.exp(log_p[c]) + hit) ** exponent - hit) * log_q[c]
        found.append(row)
    return float(np.mean(found))


@pytest.mark.parametrize("exponent", [1.0, 1.5, 2.0, 4.0])
@pytest.mark.parametrize(("rows", "classes", "scale"), [(5, 7, 1.0), (5, 7, 1e3), (1, 2, 30.0), (3, 2, 0.0)])
def test_the_loss_is_the_slow_loop(rows: int, classes: int, scale: float, exponent: float) -> None:
    student, teacher, targets = draw(rows, classes, scale), draw(rows, classes, scale, 1), torch.arange(rows) % classes
    expected = slow(student, teacher, targets, exponent)
    assert ofa_loss(student, teacher, targets, exponent).item() == pytest.approx(expected, rel=1e-5, abs=1e-5)


def test_by_hand() -> None:
    """p = (3/4, 1/4), q = (1/2, 1/2), y = 1: weights 9/16 and 25/16 - 1."""
    teacher, student = torch.tensor([[math.log(3.0), 0.0]]), torch.zeros(1, 2)
    found = ofa_loss(student, teacher, torch.tensor([1]), 2.0).item()
    assert found == pytest.approx((9 / 16 + 25 / 16 - 1) * math.log(2), rel=1e-6)


def test_an_exponent_of_1_is_cross_entropy_with_the_teacher_whatever_the_label() -> None:
    student, teacher = draw(6, 5), draw(6, 5, 2.0, 1)
    entropy = -(log_probs(teacher).exp() * log_probs(teacher)).sum(1).mean()
    divergence = kl(log_probs(teacher), log_probs(student))
    for targets in (torch.arange(6) % 5, torch.zeros(6, dtype=torch.long)):
        torch.testing.assert_close(ofa_loss(student, teacher, targets, 1.0), divergence + entropy)
    torch.testing.assert_close(ofa_loss(teacher, teacher, targets, 1.0), entropy)


def test_a_larger_exponent_pulls_the_label_up_even_where_the_teacher_ranks_it_last() -> None:
    teacher, targets = torch.tensor([[2.0, 1.0, -1.0]]), torch.tensor([2])
    pulls = []
    for exponent in (1.0, 1.5, 3.0):
        student = torch.zeros(1, 3, requires_grad=True)
        ofa_loss(student, teacher, targets, exponent).backward()
        pulls.append(-student.grad[0, 2].item())
    assert pulls == sorted(pulls)
    assert pulls[0] < 0


def test_half_precision_is_near() -> None:
    student, teacher, targets = draw(5, 7), draw(5, 7, seed=1), torch.arange(5)
    near = ofa_loss(student.half(), teacher.half(), targets, 1.5)
    torch.testing.assert_close(near, ofa_loss(student, teacher, targets, 1.5), rtol=1e-2, atol=1e-2)


def test_the_terms_are_the_students_answer_and_the_sum_over_exits() -> None:
    method = OFA(label_weight=0.5, kd_weight=2.0, exit_weight=3.0, exponent=1.5)
    case = situation(method)
    terms = method.terms(case.batch, case.state)
    assert {name: term.weight for name, term in terms.items()} == {"labels": 0.5, "kd": 2.0, "exits": 3.0}
    teacher, targets = case.batch.teacher.logits, case.batch.targets
    answers = [leave(feature) for leave, feature in zip(case.state, case.batch.student.features, strict=True)]
    assert len(answers) == 3
    assert terms["kd"].value.item() == pytest.approx(slow(case.batch.student.logits, teacher, targets, 1.5), rel=1e-5)
    expected = sum(slow(answer, teacher, targets, 1.5) for answer in answers)
    assert terms["exits"].value.item() == pytest.approx(expected, rel=1e-5)


def test_the_teachers_choice_stands_for_the_label_where_there_is_none() -> None:
    method = OFA(exponent=2.0)
    case = situation(method)
    none = case.batch._replace(labels=torch.full_like(case.batch.labels, -1))
    chosen = case.batch._replace(labels=case.batch.teacher.logits.argmax(1))
    for name in ("kd", "exits"):
        assert method.terms(none, case.state)[name].value == method.terms(chosen, case.state)[name].value


def test_an_exit_teaches_its_stage_and_those_before() -> None:
    case = situation(OFA())
    case.state[1](case.batch.student.features[1]).square().sum().backward()
    reached = [any(weight.grad is not None for weight in block.parameters()) for block in case.student.blocks]
    assert reached == [True, True, False]


def test_the_exits_are_shown_in_order() -> None:
    case = situation(OFA())
    case.state.eval()
    paths = OFA().arrays(case.batch, case.state)["paths"]
    assert paths.shape == (3, 6, 4)
    torch.testing.assert_close(paths[2], case.state[2](case.batch.student.features[2]))


@pytest.mark.parametrize("shape", [(4, 8, 8), (4, 1, 1), (4,)])
def test_every_stage_has_an_exit(shape: tuple[int, ...]) -> None:
    assert exit_head(shape, 3)(torch.randn(2, *shape)).shape == (2, 3)
