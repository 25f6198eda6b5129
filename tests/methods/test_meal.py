"""MEAL V2: the mean of several teachers, without labels, and a critic that the student deceives or helps."""

import math

import pytest
import slow
import torch
from situation import situation
from torch import Tensor

from kdcore.contracts.method import Batch
from kdcore.contracts.outputs import Outputs
from kdcore.methods.meal import MEAL, critic_loss
from kdcore.nn.losses import scale_gradient, soft_cross_entropy

torch.set_num_threads(1)


def said(batch: Batch, student: Tensor, teachers: list[Tensor]) -> Batch:
    """The batch with these logits."""
    first, *others = (Outputs(logits, ()) for logits in teachers)
    return batch._replace(student=Outputs(student, ()), teacher=first, mentors=tuple(others))


def slow_soft(student: Tensor, teachers: list[Tensor]) -> float:
    total, tables = 0.0, [slow.rows_of(one) for one in teachers]
    for place, row in enumerate(slow.rows_of(student)):
        log_q = slow.log_softmax(row)
        for c in range(len(row)):
            total -= sum(slow.softmax(table[place])[c] for table in tables) / len(tables) * log_q[c]
    return total / len(student)


def slow_critic(student: Tensor, teachers: Tensor, state: torch.nn.Module) -> float:
    """Binary cross-entropy, the critic's verdict taken row by row."""
    guesses = [1 / (1 + math.exp(-state(row[None]).item())) for row in (*student, *teachers)]
    truth = [0] * len(student) + [1] * len(teachers)
    errors = [-math.log(p if real else 1 - p) for p, real in zip(guesses, truth, strict=True)]
    return sum(errors) / len(errors)


@pytest.mark.parametrize("scale", [0.0, 1.0, 30.0])
@pytest.mark.parametrize(("rows", "classes", "count"), [(1, 4, 1), (6, 4, 3), (5, 2, 2)])
def test_the_terms_are_the_slow_loop(scale: float, rows: int, classes: int, count: int) -> None:
    *_, state, batch = situation(MEAL(), rows, classes)
    student = slow.draw(rows, classes, scale)
    teachers = [slow.draw(rows, classes, 2.0, seed) for seed in range(1, count + 1)]
    terms = MEAL(kd_weight=2.0, critic_weight=3.0).terms(said(batch, student, teachers), state)
    assert terms["kd"].value.item() == pytest.approx(slow_soft(student, teachers), rel=1e-5)
    expected = slow_critic(student, torch.stack(teachers).mean(0), state)
    assert terms["critic"].value.item() == pytest.approx(expected, rel=1e-4)
    assert [term.weight for term in terms.values()] == [2.0, 3.0]


def test_one_teacher_and_no_critic_is_soft_cross_entropy_without_labels() -> None:
    *_, state, batch = situation(MEAL())
    batch, method = batch._replace(mentors=()), MEAL(critic_weight=0.0)
    terms = method.terms(batch, state)
    expected = soft_cross_entropy(batch.student.logits, batch.teacher.logits.softmax(1))
    torch.testing.assert_close(sum(term.weight * term.value for term in terms.values()), expected)
    other = method.terms(batch._replace(labels=(batch.labels + 1) % 4), state)
    assert all(terms[name].value == other[name].value for name in terms)


def test_a_critic_that_cannot_tell_errs_by_log_two() -> None:
    same = slow.draw(5, 1)
    assert critic_loss(torch.zeros(5, 1), torch.zeros(5, 1)).item() == pytest.approx(math.log(2))
    assert critic_loss(same, same).item() >= math.log(2)
    assert critic_loss(torch.full((3, 1), -1e3), torch.full((3, 1), 1e3)).item() == 0
    assert critic_loss(torch.full((3, 1), 1e3), torch.full((3, 1), 1e3)).item() == pytest.approx(500)


def test_the_sign_turns_the_students_gradient_and_not_the_critics() -> None:
    *_, state, batch = situation(MEAL())
    found = {}
    for sign in ("reversed", "shared"):
        student = slow.draw(6, 4).requires_grad_()
        term = MEAL(critic_sign=sign).terms(said(batch, student, [slow.draw(6, 4, seed=1)]), state)["critic"]
        found[sign] = (term.value, *torch.autograd.grad(term.value, [student, *state.parameters()]))
    assert found["reversed"][0] == found["shared"][0]
    assert found["shared"][1].abs().sum() > 0
    assert torch.equal(found["reversed"][1], -found["shared"][1])
    pairs = zip(found["reversed"][2:], found["shared"][2:], strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


@pytest.mark.parametrize("factor", [-1.0, 0.0, 0.1, 1.0])
def test_a_scaled_gradient_leaves_the_value(factor: float) -> None:
    x = slow.draw(3, 4, 1e3).requires_grad_()
    y = scale_gradient(x, factor)
    assert torch.equal(y, x)
    assert torch.equal(torch.autograd.grad(y.sum(), x)[0], torch.full((3, 4), factor))


def test_teachers_that_agree_have_no_spread_and_the_target_is_their_mean() -> None:
    *_, state, batch = situation(MEAL())
    one, other = torch.tensor([[0.9, 0.1]]).log(), torch.tensor([[0.5, 0.5]]).log()
    *_, state, batch = situation(MEAL(), 1, 2)
    agreed = MEAL().metrics(said(batch, one, [one, one, one]), state)
    assert agreed["spread"].item() == pytest.approx(0.0, abs=1e-6)
    apart = said(batch, one, [one, other])
    torch.testing.assert_close(MEAL().arrays(apart, state)["target"], torch.tensor([[0.7, 0.3]]))
    expected = [
        sum(p * math.log(p / m) for p, m in zip(ps, (0.7, 0.3), strict=True)) for ps in ((0.9, 0.1), (0.5, 0.5))
    ]
    assert MEAL().metrics(apart, state)["spread"].item() == pytest.approx(sum(expected) / 2, rel=1e-5)
    assert MEAL().metrics(apart, state)["fooled"].item() in (0.0, 1.0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_and_sure_teachers_are_fine(dtype: torch.dtype) -> None:
    *_, state, batch = situation(MEAL())
    student, teachers = slow.draw(6, 4), [slow.draw(6, 4, 2.0, seed) for seed in (1, 2)]
    exact = MEAL().terms(said(batch, student, teachers), state)
    found = MEAL().terms(said(batch, student.to(dtype), [one.to(dtype) for one in teachers]), state)
    for name, term in found.items():
        assert term.value.item() == pytest.approx(exact[name].value.item(), rel=0.02, abs=0.01)
    sure = said(batch, student, [1e3 * torch.eye(4)[[0, 1, 2, 3, 0, 1]]] * 2)
    assert all(term.value.isfinite() for term in MEAL().terms(sure, state).values())
    assert all(note.isfinite() for note in MEAL().metrics(sure, state).values())
