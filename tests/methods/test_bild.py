"""BiLD against a slow loop over pairs of classes."""

import math

import numpy as np
import pytest
import torch
from extremes import CASES, Case, batch_of, plain
from test_losses import slow_kl, softmax_log
from torch import Tensor

from kdcore.methods.bild import BiLD, difference_loss

torch.set_num_threads(1)


def slow_bild(student: Tensor, teacher: Tensor, leader: Tensor, top: int, temperature: float) -> float:
    losses = []
    for s, t, led in zip(plain(student), plain(teacher), plain(leader), strict=True):
        chosen = sorted(range(len(led)), key=lambda c: -led[c])[:top]
        pairs = [(i, j) for place, i in enumerate(chosen) for j in chosen[place + 1 :]]
        gaps = (np.array([(z[i] - z[j]) / temperature for i, j in pairs]) for z in (t, s))
        losses.append(slow_kl(*(softmax_log(gap) for gap in gaps)))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("top", [2, 3, 8])
def test_both_directions_are_the_slow_loop(case: Case, top: int) -> None:
    student, teacher, _ = case
    for leader in (student, teacher):
        expected = slow_bild(student, teacher, leader, top, 3.0)
        found = difference_loss(student, teacher, leader, top, 3.0).item()
        assert found == pytest.approx(expected, rel=1e-5, abs=1e-5)


def test_three_classes_by_hand() -> None:
    teacher, student = torch.tensor([[math.log(4.0), math.log(2.0), 0.0]]), torch.zeros(1, 3)
    # differences log 2, log 4, log 2: a softmax of (1/4, 1/2, 1/4) against thirds
    expected = 2 * 0.25 * math.log(0.75) + 0.5 * math.log(1.5)
    assert difference_loss(student, teacher, teacher, 3, 1.0).item() == pytest.approx(expected)


def test_the_tail_is_left_alone() -> None:
    student, teacher = torch.tensor([[3.0, 2.0, 1.0, 0.0]]), torch.tensor([[4.0, 2.0, 1.0, 0.0]])
    noisy = teacher - torch.tensor([0.0, 0.0, 0.0, 5.0])
    for leader in (student, teacher):
        assert torch.equal(
            difference_loss(student, noisy, leader, 3, 3.0), difference_loss(student, teacher, leader, 3, 3.0)
        )
    assert difference_loss(student, noisy, teacher, 4, 3.0) != difference_loss(student, teacher, teacher, 4, 3.0)


def test_logits_apart_by_a_constant_are_zero() -> None:
    teacher = CASES["wide"][1]
    assert difference_loss(teacher + 5, teacher, teacher, 8, 3.0).item() == pytest.approx(0, abs=1e-6)
    assert difference_loss(teacher, teacher, teacher, 8, 3.0).item() == 0


def test_one_pair_teaches_nothing() -> None:
    student = CASES["wide"][0].clone().requires_grad_()
    difference_loss(student, CASES["wide"][1], CASES["wide"][1], 2, 3.0).backward()
    assert torch.equal(student.grad, torch.zeros(5, 7))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_read_in_full(dtype: torch.dtype) -> None:
    student, teacher = (logits.to(dtype) for logits in CASES["huge"][:2])
    full = difference_loss(student.float(), teacher.float(), teacher.float(), 8, 3.0)
    assert torch.equal(difference_loss(student, teacher, teacher, 8, 3.0), full)


def test_each_side_leads_its_term_and_weights_are_the_knobs() -> None:
    method = BiLD(top=3, label_weight=2.0, alpha=3.0, beta=4.0)
    student, teacher, _ = CASES["wide"]
    terms = method.terms(batch_of(method, CASES["wide"]), None)
    assert [term.weight for term in terms.values()] == [2.0, 3.0, 4.0]
    found = [terms[name].value.item() for name in ("teacher_led", "student_led")]
    expected = [slow_bild(student, teacher, leader, 3, 3.0) for leader in (teacher, student)]
    assert found == pytest.approx(expected, rel=1e-5)
    assert expected[0] != pytest.approx(expected[1])
