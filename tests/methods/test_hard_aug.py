"""The game of the hard augmentation: who pulls where, and that the changes are what they say and stay in bounds."""

import math

import pytest
import torch
from situation import situation
from torch import Tensor

from kdcore.contracts.method import Term
from kdcore.methods.hard_aug import BOUNDS, HardAug, moved

torch.set_num_threads(1)
ZERO = torch.zeros(1)


def slow_kl(log_p: list[float], log_q: list[float]) -> float:
    return sum(math.exp(a) * (a - b) for a, b in zip(log_p, log_q, strict=True))


def slow_softened(row: list[float], temperature: float) -> list[float]:
    cool = [value / temperature for value in row]
    return [value - max(cool) - math.log(sum(math.exp(v - max(cool)) for v in cool)) for value in cool]


def slow_divergence(first: Tensor, second: Tensor, temperature: float) -> float:
    """D(first, second) of logits (B, C)."""
    rows = zip(first.double().tolist(), second.double().tolist(), strict=True)
    found = [slow_kl(*(slow_softened(row, temperature) for row in pair)) for pair in rows]
    return temperature**2 * sum(found) / len(found)


def test_nothing_moves_an_image_by_nothing() -> None:
    x = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(moved(x, *[torch.zeros(2)] * 4), x, atol=1e-5, rtol=1e-5)


def test_images_move_as_told() -> None:
    x = torch.zeros(1, 1, 9, 9)
    x[0, 0, 4, 2] = 1.0  # left of the centre
    step = torch.tensor([2 / 9])  # one pixel, in half sides
    right, down = moved(x, ZERO, step, ZERO, ZERO), moved(x, ZERO, ZERO, step, ZERO)
    assert right[0, 0, 4, 3].item() == pytest.approx(1, abs=1e-5)
    assert down[0, 0, 5, 2].item() == pytest.approx(1, abs=1e-5)
    quarter = moved(x, torch.tensor([math.pi / 2]), ZERO, ZERO, ZERO)[0, 0]
    assert quarter.max().item() == pytest.approx(1, abs=1e-4)
    assert quarter[:, 4].max() == quarter.max(), "a quarter turn takes it above or below the centre"
    nearer = moved(x, ZERO, ZERO, ZERO, torch.tensor([math.log(2)]))[0, 0]
    assert nearer[4, 0].item() == pytest.approx(1, abs=1e-4), "twice as far from the centre"


def test_the_terms_are_the_slow_loop() -> None:
    method = HardAug(label_weight=2.0, kd_weight=3.0, hard_weight=5.0, stay_weight=0.5, temperature=2.0)
    student, teacher, state, batch = situation(method)
    assert state is not None
    for part in (student, state):
        part.eval()
    changed = state(batch.inputs).detach()
    terms = method.terms(batch, state)
    with torch.no_grad():
        ours, theirs = student(changed).logits, teacher(changed).logits
    assert terms["hard"].value.item() == pytest.approx(slow_divergence(theirs, ours, 2.0), rel=1e-4, abs=1e-6)
    assert terms["stay"].value.item() == pytest.approx(
        slow_divergence(theirs, batch.teacher.logits, 2.0), rel=1e-4, abs=1e-6
    )
    plain = slow_divergence(batch.teacher.logits, batch.student.logits.detach(), 2.0)
    assert terms["kd"].value.item() == pytest.approx(plain, rel=1e-4, abs=1e-6)
    assert [term.weight for term in terms.values()] == [2.0, 3.0, 5.0, -2.5]
    gaps = method.arrays(batch, state)["gap"]
    rows = zip(theirs.tolist(), ours.tolist(), strict=True)
    assert gaps.tolist() == pytest.approx(
        [slow_kl(*(slow_softened(row, 1.0) for row in pair)) for pair in rows], rel=1e-3
    )


def after_a_step(**knobs: float) -> tuple[dict[str, Term], dict[str, Term]]:
    """The terms before and after the augmenter alone has taken one small step down its gradients."""
    method = HardAug(label_weight=0.0, kd_weight=0.0, **knobs)
    student, _, state, batch = situation(method)
    assert state is not None
    for part in (student, state):
        part.eval()
    before = method.terms(batch, state)
    sum(term.weight * term.value for term in before.values()).backward()
    with torch.no_grad():
        for weight in state.parameters():
            weight -= 0.01 * weight.grad / weight.grad.norm()
    return before, method.terms(batch, state)


def test_the_augmenter_seeks_disagreement() -> None:
    before, after = after_a_step(stay_weight=0.0)
    assert after["hard"].value > before["hard"].value


def test_the_augmenter_seeks_what_does_not_move_the_teacher() -> None:
    before, after = after_a_step(stay_weight=100.0)
    assert after["stay"].value < before["stay"].value


def test_the_student_learns_what_disagrees_and_the_teachers_change_of_mind_leaves_it_alone() -> None:
    method = HardAug()
    student, _, state, batch = situation(method)
    terms = method.terms(batch, state)
    assert all(g is None for g in torch.autograd.grad(
        terms["stay"].value, list(student.parameters()), retain_graph=True, allow_unused=True
    ))  # fmt: skip
    before = method.terms(batch, state.eval())["hard"]
    gradients = torch.autograd.grad(before.value, list(student.parameters()))
    with torch.no_grad():
        for weight, gradient in zip(student.parameters(), gradients, strict=True):
            weight -= 1e-3 * gradient
    assert method.terms(batch, state)["hard"].value < before.value


def test_a_student_that_is_its_teacher_has_nothing_to_learn() -> None:
    method = HardAug()
    _, teacher, state, batch = situation(method)
    terms = method.terms(batch._replace(student=batch.teacher, student_net=teacher), state)
    assert terms["kd"].value.item() == terms["hard"].value.item() == 0


@pytest.mark.parametrize("strength", [0.0, 1.0, 3.0])
def test_amounts_stay_within_their_bounds(strength: float) -> None:
    method = HardAug(strength=strength)
    *_, state, batch = situation(method)
    with torch.no_grad():
        state.centre.fill_(5.0)
        state.spread.fill_(5.0)
        found = state.amounts(torch.randn(500, len(BOUNDS)) * 10)
    limit = strength * torch.tensor(list(BOUNDS.values()))
    assert (found.abs() <= limit + 1e-6).all()
    assert (found.abs().amax(0) >= 0.99 * limit).all()
    assert list(method.metrics(batch, state)) == [f"reach_{name}" for name in BOUNDS]


def test_without_strength_nothing_changes_and_features_are_changed_in_place() -> None:
    *_, still, batch = situation(HardAug(strength=0.0))
    torch.testing.assert_close(still(batch.inputs), batch.inputs, atol=1e-5, rtol=1e-5)
    *_, state, _ = situation(HardAug())
    points = torch.randn(5, 2)
    assert state(points).shape == points.shape
    assert not torch.equal(state(points), points)


def test_training_draws_anew_and_looking_does_not() -> None:
    *_, state, batch = situation(HardAug())
    assert not torch.equal(state(batch.inputs), state(batch.inputs))
    state.eval()
    random = torch.get_rng_state()
    assert torch.equal(state(batch.inputs), state(batch.inputs))
    assert torch.equal(random, torch.get_rng_state())
