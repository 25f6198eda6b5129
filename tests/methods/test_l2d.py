"""Binary distillation against a slow loop over classes."""

import math

import pytest
import torch
from extremes import CASES, Case, batch_of, plain
from torch import Tensor

from kdcore.methods.l2d import L2D, coin_kl

torch.set_num_threads(1)


def log_sigmoid(z: float) -> float:
    return -math.log1p(math.exp(-z)) if z > 0 else z - math.log1p(math.exp(z))


def slow_coins(student: Tensor, teacher: Tensor) -> float:
    total = 0.0
    for s, t in zip(plain(student).flat, plain(teacher).flat, strict=True):
        for sign in (1, -1):
            total += math.exp(log_sigmoid(sign * t)) * (log_sigmoid(sign * t) - log_sigmoid(sign * s))
    return total / len(student)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_it_is_the_slow_loop(case: Case) -> None:
    student, teacher, _ = case
    assert coin_kl(student, teacher).item() == pytest.approx(slow_coins(student, teacher), rel=1e-5, abs=1e-5)


def test_a_coin_by_hand() -> None:
    teacher, student = torch.tensor([[math.log(3.0), 0.0]]), torch.zeros(1, 2)  # 3/4 against 1/2, and 1/2 against 1/2
    assert coin_kl(student, teacher).item() == pytest.approx(0.75 * math.log(1.5) + 0.25 * math.log(0.5))


def test_it_is_zero_only_for_equal_logits_and_sees_their_shift() -> None:
    teacher = CASES["random"][1]
    assert coin_kl(teacher, teacher).item() == 0
    assert coin_kl(teacher + 1, teacher).item() > 0.1


def test_the_gradient_is_the_gap_of_the_coins() -> None:
    student, teacher = CASES["huge"][0].clone().requires_grad_(), CASES["huge"][1]
    coin_kl(student, teacher).backward()
    torch.testing.assert_close(student.grad, (student.sigmoid() - teacher.sigmoid()) / 4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_read_in_full(dtype: torch.dtype) -> None:
    student, teacher = (logits.to(dtype) for logits in CASES["huge"][:2])
    assert torch.equal(coin_kl(student, teacher), coin_kl(student.float(), teacher.float()))


def test_weights_are_the_knobs() -> None:
    method = L2D(label_weight=2.0, kd_weight=3.0)
    terms = method.terms(batch_of(method, CASES["random"]), None)
    assert [(name, term.weight) for name, term in terms.items()] == [("labels", 2.0), ("kd", 3.0)]
