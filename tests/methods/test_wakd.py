"""Weight-averaged distillation: the mean is the mean, it replaces the student, and its statistics are its own."""

import math

import pytest
import torch
from situation import pair, situation
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from kdcore.contracts.net import Net
from kdcore.contracts.outputs import Outputs
from kdcore.methods.wakd import WAKD, refresh
from kdcore.models.cnn import CNN

torch.set_num_threads(1)


def weights(net: nn.Module) -> Tensor:
    return parameters_to_vector(net.parameters()).detach().clone()


def walk(method: WAKD, steps: int = 8) -> tuple[Net, nn.Module, list[Tensor]]:
    """A student moved at random `steps` times, what was remembered, and where it has been."""
    student, _, state, batch = situation(method)
    assert state is not None
    been = []
    with torch.no_grad():
        for step in range(steps):
            vector_to_parameters(torch.randn_like(weights(student)), student.parameters())
            been.append(weights(student))
            method.after_step(batch._replace(progress=step / steps), state)
    return student, state, been


@pytest.mark.parametrize(("start", "first"), [(0.0, 0), (0.5, 4), (0.8, 7)])
def test_the_mean_is_of_all_weights_from_the_start_on(start: float, first: int) -> None:
    method = WAKD(start=start)
    student, state, been = walk(method)
    method.finalize(student, state, [torch.randn(8, 1, 8, 8)])
    expected = sum(vector.double() for vector in been[first:]) / len(been[first:])
    torch.testing.assert_close(weights(student).double(), expected, atol=1e-5, rtol=1e-5)


def test_a_student_that_never_moved_or_was_never_counted_is_kept() -> None:
    for method, steps in ((WAKD(start=0.0), 5), (WAKD(start=0.9), 0)):
        student, _, state, batch = situation(method)
        before = weights(student)
        for _ in range(steps):
            method.after_step(batch, state)
        assert method.metrics(batch, state)["distance"].item() == pytest.approx(0, abs=1e-6)
        method.finalize(student, state, [])
        torch.testing.assert_close(weights(student), before, atol=1e-7, rtol=1e-6)


def test_averaging_commutes_with_prediction_for_a_linear_network() -> None:
    method = WAKD(start=0.0)
    linear = Net([nn.Flatten()], nn.Linear(64, 3))
    _, teacher, _, batch = situation(method)
    told = batch._replace(student_net=linear)
    state = method.connect(pair(method, linear, teacher, 3))
    x, answers = torch.randn(7, 1, 8, 8), []
    with torch.no_grad():
        for _ in range(6):
            vector_to_parameters(torch.randn_like(weights(linear)), linear.parameters())
            answers.append(linear(x).logits)
            method.after_step(told, state)
        method.finalize(linear, state, [x])
        torch.testing.assert_close(linear(x).logits, torch.stack(answers).mean(0))


def test_the_averaged_student_is_shown_before_it_is_kept() -> None:
    method = WAKD(start=0.0)
    student, state, _ = walk(method)
    *_, batch = situation(method)
    student.eval()
    path = method.arrays(batch._replace(student_net=student), state)["paths"]
    vector_to_parameters(state(weights(student)), student.parameters())
    torch.testing.assert_close(path, student(batch.inputs).logits[None], atol=1e-5, rtol=1e-4)


def test_statistics_are_the_mean_over_batches_and_momentum_is_put_back() -> None:
    net = CNN(width=4).build((1, 8, 8), 3)
    batches = [torch.randn(6, 1, 8, 8) * scale for scale in (1.0, 3.0)]
    norm = next(part for part in net.modules() if isinstance(part, nn.BatchNorm2d))
    seen: list[Tensor] = []
    hook = norm.register_forward_pre_hook(lambda _, given: seen.append(given[0].detach()))
    norm.running_mean.fill_(50.0)
    with torch.no_grad():
        refresh(net, [*batches, torch.randn(1, 1, 8, 8)])
    hook.remove()
    expected = sum(x.mean((0, 2, 3)) for x in seen[:2]) / 2
    torch.testing.assert_close(norm.running_mean, expected)
    assert len(seen) == 2, "one row has no variance, so it is passed over"
    assert norm.momentum == 0.1
    assert all(part.training for part in net.modules())


def test_the_loss_is_the_slow_loop() -> None:
    method = WAKD(temperature=2.0)
    *_, batch = situation(method)
    student, teacher = torch.randn(3, 4), torch.randn(3, 4) * 1e3
    found = method.terms(batch._replace(student=Outputs(student, ()), teacher=Outputs(teacher, ())), None)
    total = 0.0
    for s, t in zip(student.double().tolist(), teacher.double().tolist(), strict=True):
        log_p, log_q = (
            [v / 2 - max(z) / 2 - math.log(sum(math.exp((w - max(z)) / 2) for w in z)) for v in z] for z in (t, s)
        )
        total += 4 * sum(math.exp(a) * (a - b) for a, b in zip(log_p, log_q, strict=True)) / 3
    assert {name: term.weight for name, term in found.items()} == {"kd": 1.0}
    assert found["kd"].value.item() == pytest.approx(total, rel=1e-5)
