"""TAID against a slow loop of its loss and of its share, and its two ends."""

import math

import numpy as np
import pytest
import torch
from extremes import CASES, Case, batch_of, plain
from situation import nets, pair, situation
from test_losses import slow_kl, softmax_log
from torch import Tensor

from kdcore.methods.taid import TAID, Share, mixture, relative_decrease, taid_loss
from kdcore.nn.losses import kd_loss

torch.set_num_threads(1)


def slow_taid(student: Tensor, teacher: Tensor, share: float) -> float:
    losses = [
        slow_kl(softmax_log((1 - share) * s + share * t), softmax_log(s))
        for s, t in zip(plain(student), plain(teacher), strict=True)
    ]
    return sum(losses) / len(losses)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_it_is_the_slow_loop(case: Case, share: float) -> None:
    student, teacher, _ = case
    found = taid_loss(student, teacher, torch.tensor(share)).item()
    assert found == pytest.approx(slow_taid(student, teacher, share), rel=1e-5, abs=1e-5)


def test_at_share_zero_nothing_is_learnt() -> None:
    student = CASES["wide"][0].clone().requires_grad_()
    loss = taid_loss(student, CASES["wide"][1], torch.tensor(0.0))
    loss.backward()
    assert loss.item() == 0
    assert student.grad.abs().max() < 1e-7


def test_at_share_one_it_is_plain_distillation() -> None:
    pulls = []
    for loss in (lambda s, t: taid_loss(s, t, torch.tensor(1.0)), lambda s, t: kd_loss(s, t, 1.0)):
        student = CASES["wide"][0].clone().requires_grad_()
        loss(student, CASES["wide"][1]).backward()
        pulls.append(student.grad)
    torch.testing.assert_close(*pulls)


def test_the_gradient_takes_the_target_as_given() -> None:
    student, teacher, share = CASES["random"][0].clone().requires_grad_(), CASES["random"][1], torch.tensor(0.4)
    taid_loss(student, teacher, share).backward()
    target = (0.6 * student.detach() + 0.4 * teacher).softmax(1)
    torch.testing.assert_close(student.grad, (student.softmax(1) - target) / len(target))


def test_the_share_is_the_slow_loop_and_never_behind_the_line() -> None:
    losses, start, alpha, beta = [2.0, 1.5, 1.6, 0.4, 0.4, 3.0, 1e-3], 0.3, 0.5, 0.6
    state, share, trend, last = Share(start), start, 0.0, math.inf
    for step, loss in enumerate(losses):
        line = start + (1 - start) * step / len(losses)
        state.settle(torch.tensor(loss), line, alpha, beta)
        decrease = max(-1.0, (last - loss) / last) if math.isfinite(last) else 0.0
        trend = beta * trend + (1 - beta) * decrease
        share = min(1.0, max(line, share + alpha / (1 + math.exp(-trend)) * (1 - share)))
        last = loss
        assert state.share.item() == pytest.approx(share, rel=1e-5)
        assert state.trend.item() == pytest.approx(trend, rel=1e-5, abs=1e-7)
        assert share >= line


def released_loss(student: Tensor, teacher: Tensor, share: Tensor) -> Tensor:
    """The cross-entropy of the student to the mixture, whose decrease moves the released share."""
    return -(mixture(student, teacher, share).exp() * student.log_softmax(1)).sum(1).mean()


def test_the_released_loss_adds_the_mixtures_entropy_and_pulls_alike() -> None:
    student, teacher, share = CASES["random"][0].clone().requires_grad_(), CASES["random"][1], torch.tensor(0.4)
    theirs, ours = released_loss(student, teacher, share), taid_loss(student, teacher, share)
    entropy = torch.special.entr(mixture(student, teacher, share).exp()).sum(1).mean()
    torch.testing.assert_close(theirs, ours + entropy)
    torch.testing.assert_close(*(torch.autograd.grad(loss, student)[0] for loss in (theirs, ours)))


@pytest.mark.parametrize(("alpha", "least", "most"), [(5e-4, 0.0, 0.0), (0.05, 1e-4, 1e-3)])
def test_how_far_the_released_share_is_from_ours(alpha: float, least: float, most: float) -> None:
    """The student moves to the teacher in 300 steps; the file states the largest distance of the two shares."""
    chance = torch.Generator().manual_seed(0)
    begun, teacher = 3 * torch.randn(2, 64, 10, generator=chance)
    ours, theirs, apart = Share(0.4), Share(0.4), 0.0
    for step in range(300):
        done = step / 300
        student = 0.9 * done * teacher + (1 - done) * begun + 0.3 * torch.randn(64, 10, generator=chance)
        apart = max(apart, abs(ours.share.item() - theirs.share.item()))
        ours.settle(taid_loss(student, teacher, ours.share), 0.4 + 0.6 * done, alpha, 0.99)
        theirs.settle(released_loss(student, teacher, theirs.share), 0.4 + 0.6 * done, alpha, 0.99)
    assert least <= apart <= most


def test_with_alpha_zero_the_share_is_the_line_and_otherwise_ahead() -> None:
    line, ahead = Share(0.4), Share(0.4)
    for step in range(5):
        line.settle(torch.tensor(1.0 / (step + 1)), 0.4 + 0.06 * step, 0.0, 0.99)
        ahead.settle(torch.tensor(1.0 / (step + 1)), 0.4 + 0.06 * step, 0.5, 0.99)
        assert line.share.item() == pytest.approx(0.4 + 0.06 * step)
        assert ahead.share > line.share


def test_a_relative_decrease_by_hand() -> None:
    one, two, never = torch.tensor(1.0), torch.tensor(2.0), torch.tensor(math.inf)
    assert [relative_decrease(*of).item() for of in ((two, one), (one, two), (never, one))] == [0.5, -1, 0]
    assert relative_decrease(torch.tensor(0.0), one) == -1


def test_the_share_starts_where_told_and_only_settle_moves_it() -> None:
    method = TAID(start=0.2, label_weight=2.0, kd_weight=3.0)
    *_, state, batch = situation(method)
    terms = method.terms(batch, state)
    assert [term.weight for term in terms.values()] == [2.0, 3.0]
    assert method.metrics(batch, state)["share"].item() == pytest.approx(0.2)
    before = method.metrics(batch, state)["share"]
    with torch.no_grad():
        method.after_step(batch._replace(progress=0.5), state)
    assert before.item() == pytest.approx(0.2)  # what was noted stays as it was
    assert state.share.item() == pytest.approx(0.6)
    assert state.last == terms["taid"].value
    assert method.connect(pair(method, *nets(), classes=4)).share.item() == pytest.approx(0.2)


def test_how_far_ahead_and_how_slowly_are_the_knobs() -> None:
    method = TAID(start=0.2, alpha=0.5, beta=0.75)
    *_, state, batch = situation(method)
    batch = batch._replace(progress=0.0)
    with torch.no_grad():
        method.after_step(batch, state)
        assert state.share.item() == pytest.approx(0.2 + 0.5 * 0.5 * 0.8)  # no trend yet, whose sigmoid is a half
        state.last.copy_(2 * method.terms(batch, state)["taid"].value)  # so that the loss has halved
        method.after_step(batch, state)
    assert state.trend.item() == pytest.approx(0.25 * 0.5)
    assert state.share.item() == pytest.approx(0.4 + 0.5 / (1 + math.exp(-0.125)) * 0.6)


def test_it_shows_the_moving_target() -> None:
    method = TAID(start=0.3)
    *_, state, _ = situation(method)
    found = method.arrays(batch_of(method, CASES["random"]), state)["target"]
    student, teacher, _ = CASES["random"]
    expected = [np.exp(softmax_log(0.7 * s + 0.3 * t)) for s, t in zip(plain(student), plain(teacher), strict=True)]
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_read_in_full(dtype: torch.dtype) -> None:
    student, teacher, share = *(logits.to(dtype) for logits in CASES["huge"][:2]), torch.tensor(0.4)
    assert torch.equal(mixture(student, teacher, share), mixture(student.float(), teacher.float(), share))
    assert taid_loss(student, teacher, share) == taid_loss(student.float(), teacher.float(), share)
