"""Dual-head distillation: its loss against a slow loop, and its bent gradient against a projection done by hand."""

import math

import pytest
import torch
from extremes import CASES, Case, plain
from situation import nets, pair, situation
from torch import Tensor

from kdcore.methods.dhkd import DHKD, bend, conflict, log_cosh_loss, second_head

torch.set_num_threads(1)


def slow_loss(logits: Tensor, teacher: Tensor, temperature: float) -> float:
    """T^2 KL((1/2, 1/2) || (s, 1 - s)) of each class, with log s by log1p."""
    total = 0.0
    for z, t in zip(plain(logits).flat, plain(teacher).flat, strict=True):
        d = abs(z - t) / temperature
        log_s = [-math.log1p(math.exp(-d)), -d - math.log1p(math.exp(-d))]
        total += sum(0.5 * (math.log(0.5) - value) for value in log_s)
    return temperature**2 * total / len(logits)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("temperature", [1.0, 2.0, 10.0])
def test_it_is_the_slow_loop(case: Case, temperature: float) -> None:
    found = log_cosh_loss(*case[:2], temperature).item()
    assert found == pytest.approx(slow_loss(*case[:2], temperature), rel=1e-5, abs=1e-6 * temperature**2)


def test_it_is_the_logarithm_of_the_hyperbolic_cosine() -> None:
    logits, teacher, _ = (part.double() for part in CASES["random"])
    expected = 4 * ((logits - teacher) / 4).cosh().log().sum() / len(logits)
    assert log_cosh_loss(logits, teacher, 2.0).item() == pytest.approx(expected.item(), rel=1e-6)


def test_equal_logits_are_zero_and_pull_nowhere() -> None:
    logits = CASES["huge"][1].clone().requires_grad_()
    loss = log_cosh_loss(logits, CASES["huge"][1], 2.0)
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(logits.grad, torch.zeros(4, 5))


def test_small_gaps_are_an_eighth_of_their_square_and_large_ones_pull_by_half_the_temperature() -> None:
    teacher = CASES["random"][1].double()
    gap = 0.1 * CASES["random"][0].double()
    expected = gap.square().sum().item() / 8 / len(gap)
    assert log_cosh_loss(teacher + gap, teacher, 2.0).item() == pytest.approx(expected, rel=1e-2)
    logits = CASES["random"][0].clone().requires_grad_()
    log_cosh_loss(logits, CASES["random"][1], 2.0).backward()
    pull = torch.tanh((logits.detach() - CASES["random"][1]) / 4)  # T / 2 is 1
    torch.testing.assert_close(logits.grad, pull / 6)


def test_a_conflict_by_hand() -> None:
    one = torch.tensor([2.0, 0.0])
    assert conflict(one, torch.tensor([-3.0, 5.0])).item() == 1.5  # 1.5 one + other is at right angles to one
    assert conflict(one, torch.tensor([3.0, 5.0])).item() == 0
    assert conflict(torch.zeros(2), one).item() == 0


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_bend_adds_what_a_projection_takes_away(sign: float) -> None:
    weights = torch.tensor([1.0, 2.0, -1.0], requires_grad=True)
    labels, logits = weights.square().sum() / 2, sign * (weights * torch.tensor([1.0, 1.0, 5.0])).sum()
    g, h = weights.detach().clone(), sign * torch.tensor([1.0, 1.0, 5.0])
    value = bend(labels, logits, [weights])
    assert value.item() == 0
    (labels + logits + value).backward()
    projected = h - (h @ g) / (g @ g) * g if h @ g < 0 else h
    torch.testing.assert_close(weights.grad, g + projected)


def gradients(method: DHKD, label: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Of the labels, of the logits and of all terms together on all of the student's weights."""
    student, _, state, batch = situation(method)
    state.eval()
    weights = list(student.parameters())

    def flat(value: Tensor) -> Tensor:
        parts = torch.autograd.grad(value, weights, retain_graph=True, allow_unused=True, materialize_grads=True)
        return torch.cat([part.flatten() for part in parts]).double()

    terms = method.terms(batch._replace(labels=torch.full_like(batch.labels, label)), state)
    total = sum(term.weight * term.value for term in terms.values())
    return flat(terms["labels"].value), flat(terms["logits"].value), flat(total)


@pytest.mark.parametrize("label_weight", [1.0, 0.5])
@pytest.mark.parametrize("head", ["linear", "mlp"])
def test_on_a_network_the_gradient_is_the_projected_one(head: str, label_weight: float) -> None:
    opposed = []
    for label in range(4):
        labels, logits, total = gradients(DHKD(alpha=3.0, label_weight=label_weight, head=head), label)
        product = (labels @ logits).item()
        along = min(0.0, product) / (labels @ labels) * labels
        torch.testing.assert_close(total, label_weight * labels + 3.0 * (logits - along), rtol=1e-4, atol=1e-6)
        opposed.append(product < 0)
    assert True in opposed
    assert False in opposed


def test_without_alignment_the_terms_just_add() -> None:
    labels, logits, total = gradients(DHKD(align=False, alpha=2.0))
    torch.testing.assert_close(total, labels + 2.0 * logits, rtol=1e-4, atol=1e-7)


def test_terms_are_there_where_nothing_learns_and_without_label_weight() -> None:
    *_, state, batch = situation(DHKD())
    with torch.no_grad():
        still = batch._replace(student=batch.student._replace(logits=batch.student.logits.detach()))
        assert DHKD().terms(still, state.eval())["align"].value.item() == 0
    assert list(DHKD(label_weight=0.0).terms(batch, state)) == ["labels", "logits"]


@pytest.mark.parametrize("temperature", [2.0, 0.5])
def test_the_second_heads_logits_are_compared_at_the_knobs_temperature(temperature: float) -> None:
    method = DHKD(head="linear", temperature=temperature)
    *_, state, batch = situation(method)
    expected = slow_loss(method.arrays(batch, state)["paths"][0].detach(), batch.teacher.logits, temperature)
    assert method.terms(batch, state)["logits"].value.item() == pytest.approx(expected, rel=1e-5)


def test_the_second_head_is_one_layer_or_two_and_is_shown_as_a_path() -> None:
    assert [weight.shape for weight in second_head("linear", 3, 4).parameters()] == [(4, 3), (4,)]
    assert second_head("mlp", 3, 4)[0].weight.shape == (200, 3)
    method = DHKD(head="linear")
    *_, state, batch = situation(method)
    paths = method.arrays(batch, state)["paths"]
    pooled = batch.student.features[-1].flatten(2).mean(2)
    torch.testing.assert_close(paths, (pooled @ state.weight.T + state.bias)[None])
    assert method.connect(pair(method, *nets(3), classes=3)).out_features == 3


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_read_in_full(dtype: torch.dtype) -> None:
    logits, teacher = (part.to(dtype) for part in CASES["huge"][:2])
    assert torch.equal(log_cosh_loss(logits, teacher, 2.0), log_cosh_loss(logits.float(), teacher.float(), 2.0))
