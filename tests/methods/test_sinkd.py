"""Sinkhorn distillation against a slow loop of its plan."""

import math

import numpy as np
import pytest
import torch
from extremes import CASES, Case, batch_of, plain, softmax
from test_losses import slow_kd
from torch import Tensor

from kdcore.methods.sinkd import SinKD, sinkhorn_loss, transport_plan

torch.set_num_threads(1)


def slow_costs(student: Tensor, teacher: Tensor, temperature: float) -> np.ndarray:
    """A row for each answer of the student, a column for each of the teacher."""
    q, p = ([softmax(row / temperature) for row in plain(logits)] for logits in (student, teacher))
    return np.array([[sum(abs(a - b) for a, b in zip(left, right, strict=True)) for right in p] for left in q])


def slow_plan(costs: np.ndarray, epsilon: float, rounds: int) -> np.ndarray:
    plan = np.exp(-costs / epsilon)
    for _ in range(rounds):
        for i in range(len(plan)):
            plan[i] = plan[i] / sum(plan[i])
        for j in range(len(plan)):
            plan[:, j] = plan[:, j] / sum(plan[:, j])
    return plan


def slow_sinkhorn(student: Tensor, teacher: Tensor, temperature: float, epsilon: float, rounds: int) -> float:
    costs = slow_costs(student, teacher, temperature)
    plan, rows = slow_plan(costs, epsilon, rounds), range(len(costs))
    return sum(plan[i, j] * costs[i, j] for i in rows for j in rows) / len(costs)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize(("epsilon", "rounds"), [(0.1, 20), (1.0, 3)])
def test_it_is_the_slow_loop(case: Case, epsilon: float, rounds: int) -> None:
    student, teacher, _ = case
    expected = slow_sinkhorn(student, teacher, 2.0, epsilon, rounds)
    assert sinkhorn_loss(student, teacher, 2.0, epsilon, rounds).item() == pytest.approx(expected, rel=1e-5, abs=1e-5)


def test_the_students_answers_are_balanced_first_and_the_teachers_last() -> None:
    """After one round of a plan that is far from balanced, each of the teacher's answers is taken up exactly once."""
    student, teacher = torch.tensor([[3.0, 0.0], [2.0, 0.0]]), torch.tensor([[3.0, 0.0], [0.0, 3.0]])
    costs = torch.from_numpy(slow_costs(student, teacher, 1.0))
    plan = transport_plan(costs, 0.1, 1)
    torch.testing.assert_close(plan.sum(0), torch.ones(2).double())
    assert (plan.sum(1) - 1).abs().max() > 0.3
    expected = (plan * costs).sum().item() / 2
    assert sinkhorn_loss(student, teacher, 1.0, 0.1, 1).item() == pytest.approx(expected, rel=1e-5)
    assert expected != pytest.approx((transport_plan(costs.T, 0.1, 1) * costs.T).sum().item() / 2, rel=0.01)


def test_rows_and_columns_of_the_plan_sum_to_one() -> None:
    costs = torch.from_numpy(slow_costs(*CASES["random"][:2], 2.0))
    plan = transport_plan(costs, 0.1, 100)
    torch.testing.assert_close(plan.sum(0), torch.ones(6).double(), atol=1e-9, rtol=0)
    torch.testing.assert_close(plan.sum(1), torch.ones(6).double(), atol=1e-6, rtol=0)


def test_a_soft_plan_pairs_all_with_all_and_costs_the_mean() -> None:
    student, teacher, _ = CASES["random"]
    costs = torch.from_numpy(slow_costs(student, teacher, 2.0))
    torch.testing.assert_close(transport_plan(costs, 1e9, 20), torch.full((6, 6), 1 / 6).double())
    assert sinkhorn_loss(student, teacher, 2.0, 1e6, 20).item() == pytest.approx(costs.mean().item(), rel=1e-5)


def test_a_hard_plan_finds_the_permutation() -> None:
    teacher = torch.eye(4) * 20
    assert sinkhorn_loss(teacher[[2, 0, 3, 1]], teacher, 1.0, 0.001, 20).item() == pytest.approx(0, abs=1e-6)


def test_answers_without_a_common_class_cost_two_and_still_pull() -> None:
    student = torch.tensor([[30.0, 0.0, -30.0]], requires_grad=True)
    teacher = torch.tensor([[-30.0, 0.0, 30.0]])
    loss = sinkhorn_loss(student, teacher, 1.0, 0.1, 20)
    assert loss.item() == pytest.approx(2.0)
    assert sinkhorn_loss(student * 1e3, teacher * 1e3, 1.0, 0.1, 20).item() == 2.0  # where KL is about 6e4
    loss.backward()
    assert student.grad.isfinite().all()


def test_rows_all_alike_cost_nothing() -> None:
    teacher = CASES["equal rows"][1]
    assert sinkhorn_loss(teacher + 3, teacher, 2.0, 0.1, 20).item() == pytest.approx(0, abs=1e-6)


def test_one_pair_by_hand() -> None:
    student, teacher = torch.zeros(1, 2), torch.tensor([[math.log(3.0), 0.0]])  # q = (1/2, 1/2), p = (3/4, 1/4)
    assert sinkhorn_loss(student, teacher, 1.0, 0.1, 5).item() == pytest.approx(0.5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_read_in_full(dtype: torch.dtype) -> None:
    student, teacher = (logits.to(dtype) for logits in CASES["huge"][:2])
    full = sinkhorn_loss(student.float(), teacher.float(), 2.0, 0.1, 20)
    assert torch.equal(sinkhorn_loss(student, teacher, 2.0, 0.1, 20), full)


def test_gradients_are_finite_with_the_smallest_epsilon() -> None:
    student = CASES["huge"][0].clone().requires_grad_()
    sinkhorn_loss(student, CASES["huge"][1], 2.0, 0.001, 20).backward()
    assert student.grad.isfinite().all()


@pytest.mark.parametrize(("temperature", "epsilon", "rounds"), [(2.0, 0.1, 20), (3.0, 0.5, 1)])
def test_temperature_softness_and_rounds_are_the_knobs(temperature: float, epsilon: float, rounds: int) -> None:
    method, (student, teacher, _) = SinKD(temperature=temperature, epsilon=epsilon, rounds=rounds), CASES["wide"]
    terms = method.terms(batch_of(method, CASES["wide"]), None)
    assert terms["kd"].value.item() == pytest.approx(slow_kd(student, teacher, temperature), rel=1e-5)
    expected = slow_sinkhorn(student, teacher, temperature, epsilon, rounds)
    assert terms["sinkhorn"].value.item() == pytest.approx(expected, rel=1e-5)


def test_weights_are_the_knobs() -> None:
    method = SinKD(label_weight=2.0, kd_weight=3.0, sinkhorn_weight=4.0)
    terms = method.terms(batch_of(method, CASES["random"]), None)
    assert [(name, term.weight) for name, term in terms.items()] == [("labels", 2.0), ("kd", 3.0), ("sinkhorn", 4.0)]
