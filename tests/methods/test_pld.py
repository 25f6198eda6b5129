"""Plackett-Luce distillation against a slow loop over ranks, and what it becomes in special cases."""

import math

import numpy as np
import pytest
import torch
from extremes import CASES, Case, batch_of, plain, softmax
from torch import Tensor

from kdcore.methods.pld import PLD, pld_loss, ranking
from kdcore.nn.losses import cross_entropy

torch.set_num_threads(1)


def slow_order(teacher: np.ndarray, y: int) -> list[int]:
    return [y, *sorted((c for c in range(len(teacher)) if c != y), key=lambda c: -teacher[c])]


def slow_pld(student: Tensor, teacher: Tensor, targets: Tensor, temperature: float) -> float:
    losses = []
    for s, t, y in zip(plain(student), plain(teacher), targets.tolist(), strict=True):
        order, weights = slow_order(t, y), softmax(t / temperature)
        steps = [np.logaddexp.reduce(s[order[k:]]) - s[order[k]] for k in range(len(order))]
        losses.append(sum(weights[c] * step for c, step in zip(order, steps, strict=True)))
    return float(np.mean(losses))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_it_is_the_slow_loop(case: Case, temperature: float) -> None:
    expected = slow_pld(*case, temperature)
    assert pld_loss(*case, temperature).item() == pytest.approx(expected, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_its_gradient_is_that_of_the_slow_loop(case: Case) -> None:
    student, teacher, targets = case
    leaf = student.clone().requires_grad_()
    pld_loss(leaf, teacher, targets, 4.0).backward()
    wide = student.double().requires_grad_()
    order = ranking(teacher, targets)
    ranked, weights = wide.gather(1, order), (teacher.double() / 4).softmax(1).gather(1, order)
    steps = [ranked[:, k:].logsumexp(1) - ranked[:, k] for k in range(ranked.shape[1])]
    (weights * torch.stack(steps, 1)).sum(1).mean().backward()
    torch.testing.assert_close(leaf.grad.double(), wide.grad, atol=5e-5, rtol=1e-4)  # logits of 1e3 in float32


def test_a_ranking_by_hand() -> None:
    assert ranking(torch.tensor([[0.1, 0.9, 0.5, 0.7]]), torch.tensor([2])).tolist() == [[2, 1, 3, 0]]
    student, teacher = torch.zeros(1, 3), torch.zeros(1, 3)  # steps log 3, log 2, log 1, each with weight 1/3
    assert pld_loss(student, teacher, torch.tensor([1]), 1.0).item() == pytest.approx(math.log(6) / 3)


def test_a_teacher_certain_of_the_label_makes_it_cross_entropy() -> None:
    student, _, targets = CASES["wide"]
    teacher = torch.nn.functional.one_hot(targets, 7) * 1e4
    torch.testing.assert_close(pld_loss(student, teacher, targets, 4.0), cross_entropy(student, targets))


def test_a_constant_added_to_the_logits_changes_nothing() -> None:
    student, teacher, targets = CASES["random"]
    moved = pld_loss(student + 3, teacher - 7, targets, 4.0)
    torch.testing.assert_close(moved, pld_loss(student, teacher, targets, 4.0))


def test_equal_weights_make_it_the_likelihood_of_a_list_over_the_classes() -> None:
    student, teacher, targets = CASES["random"]
    even = pld_loss(student, teacher, targets, 1e6).item()  # the order of the teacher, the weights of none
    lists = [
        sum(np.logaddexp.reduce(s[order[k:]]) - s[order[k]] for k in range(5))
        for s, order in zip(plain(student), ranking(teacher, targets).tolist(), strict=True)
    ]
    assert even == pytest.approx(np.mean(lists) / 5, rel=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_read_in_full(dtype: torch.dtype) -> None:
    student, teacher = (logits.to(dtype) for logits in CASES["huge"][:2])
    targets = CASES["huge"][2]
    assert torch.equal(
        pld_loss(student, teacher, targets, 4.0), pld_loss(student.float(), teacher.float(), targets, 4.0)
    )


def test_the_temperature_is_the_knob() -> None:
    for method, temperature in ((PLD(), 4.0), (PLD(temperature=1.5), 1.5)):
        found = method.terms(batch_of(method, CASES["wide"]), None)["ranking"].value
        assert found.item() == pytest.approx(slow_pld(*CASES["wide"], temperature), rel=1e-5)


def test_the_weight_is_the_knob_and_notes_tell_how_often_the_label_moves_to_the_front() -> None:
    method = PLD(kd_weight=2.0)
    batch = batch_of(method, CASES["target ranked last"])
    assert [term.weight for term in method.terms(batch, None).values()] == [2.0]
    assert method.metrics(batch, None)["teacher_repaired"] == 1
    right = batch._replace(labels=batch.teacher.logits.argmax(1))
    assert method.metrics(right, None)["teacher_repaired"] == 0
