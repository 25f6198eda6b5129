"""Grad-CAM against a loop, the cosine of explanations, and gradients of the second order against differences."""

import numpy as np
import pytest
import torch
from situation import SHAPE, nets, pair, situation
from slow import draw
from test_losses import slow_kd
from torch import Tensor, nn

from kdcore.connect import Pooled
from kdcore.errors import BadInput
from kdcore.methods.e2kd import E2KD, explanation_loss, grad_cam
from kdcore.net import Net
from kdcore.registry import MODELS

torch.set_num_threads(1)


def slow_cam(feature: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Of a pooled linear head: the derivative of the logit is weight / positions, at each of them."""
    channels, height, width = feature.shape
    found = np.zeros((height, width))
    for k in range(channels):
        slope = np.full((height, width), weight[k] / (height * width))
        found += slope.mean() * feature[k]
    return np.maximum(found, 0)


def slow_loss(student: Tensor, teacher: Tensor) -> float:
    total = 0.0
    for ours, theirs in zip(student.double().numpy(), teacher.double().numpy(), strict=True):
        if (theirs > 0).any():
            product, lengths = 0.0, [0.0, 0.0]
            for a, b in zip(ours.flat, theirs.flat, strict=True):
                product += a * b
                lengths[0] += a * a
                lengths[1] += b * b
            total += 1 - product / max(np.sqrt(lengths[0] * lengths[1]), 1e-12)
    return total / len(student)


def explanations(rows: int, side: int, scale: float = 1.0, seed: int = 0) -> Tensor:
    return draw(rows, side * side, scale, seed).reshape(rows, side, side).relu()


@pytest.mark.parametrize("scale", [1.0, 1e3])
def test_grad_cam_of_a_pooled_linear_head_is_the_slow_loop(scale: float) -> None:
    features, classes = (torch.zeros(5, 2, 8, 8), draw(5, 48, scale).reshape(5, 3, 4, 4)), torch.tensor([0, 1, 3, 2, 1])
    net = Net([nn.Identity(), nn.Identity()], nn.Sequential(Pooled(), nn.Linear(3, 4)))
    found = grad_cam(net, features, classes).detach()
    weight = net.head[1].weight.detach().double().numpy()
    for row, y in enumerate(classes.tolist()):
        expected = slow_cam(features[1][row].double().numpy(), weight[y])
        np.testing.assert_allclose(found[row].numpy(), expected, rtol=1e-4, atol=1e-5 * scale)


def test_grad_cam_looks_through_the_blocks_after_the_last_map() -> None:
    """By differences: the logit behind a curved block moves by the slope that the map is weighted with."""
    torch.manual_seed(0)
    after = nn.Sequential(nn.Flatten(), nn.Linear(8, 5), nn.Tanh())
    net = Net([nn.Identity(), after], nn.Linear(5, 3)).double()
    maps = torch.randn(1, 2, 2, 2)
    net = net.float()
    found = grad_cam(net, (maps, torch.zeros(1, 5)), torch.tensor([1])).detach()
    exact, slopes = net.double(), np.zeros((2, 2, 2))
    for place in np.ndindex(2, 2, 2):
        moved = [maps.double().clone(), maps.double().clone()]
        for sign, one in zip((1, -1), moved, strict=True):
            one[(0, *place)] += sign * 1e-5
        ends = [exact.head(after(one))[0, 1].item() for one in moved]
        slopes[place] = (ends[0] - ends[1]) / 2e-5
    expected = np.maximum((slopes.mean((1, 2))[:, None, None] * maps[0].double().numpy()).sum(0), 0)
    np.testing.assert_allclose(found[0].numpy(), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("rows", "side", "scale"), [(5, 4, 1.0), (5, 4, 1e3), (1, 2, 1.0), (3, 1, 1.0)])
def test_the_loss_is_the_slow_loop(rows: int, side: int, scale: float) -> None:
    student, teacher = explanations(rows, side, scale), explanations(rows, side, 1.0, seed=1)
    assert explanation_loss(student, teacher).item() == pytest.approx(slow_loss(student, teacher), rel=1e-5, abs=1e-6)


def test_the_loss_by_hand() -> None:
    teacher = torch.tensor([[[1.0, 0.0]], [[0.0, 0.0]]])
    student = torch.tensor([[[1.0, 1.0]], [[0.0, 3.0]]])
    assert explanation_loss(student, teacher).item() == pytest.approx((1 - 0.5**0.5) / 2)


def test_explanations_of_unlike_sizes_are_compared_at_the_smaller() -> None:
    student, teacher = explanations(3, 4), explanations(3, 2, seed=1)
    averaged = student.reshape(3, 2, 2, 2, 2).mean((2, 4))
    torch.testing.assert_close(explanation_loss(student, teacher), explanation_loss(averaged, teacher))


def test_an_empty_explanation_pulls_nowhere_and_everything_stays_finite() -> None:
    features = -torch.ones(2, 3, 2, 2)
    features.requires_grad_()
    net = Net([nn.Identity()], nn.Sequential(Pooled(), nn.Linear(3, 2)))
    nn.init.ones_(net.head[1].weight)
    loss = explanation_loss(grad_cam(net, (features,), torch.tensor([0, 1])), torch.ones(2, 2, 2))
    loss.backward()
    assert loss.item() == 1
    assert torch.equal(features.grad, torch.zeros_like(features))


def test_a_student_that_is_its_teacher_explains_alike() -> None:
    case = situation(E2KD())
    same = case.batch._replace(student=case.batch.teacher, student_net=case.teacher)
    terms = E2KD().terms(same, None)
    assert terms["explanation"].value.item() == pytest.approx(0, abs=1e-6)
    assert terms["kd"].value.item() == 0
    assert E2KD().terms(case.batch, None)["explanation"].value.item() > 0.01


def test_both_explain_the_class_that_the_teacher_answers() -> None:
    case = situation(E2KD())
    found = E2KD().observe(case.batch, None)
    answers = case.batch.teacher.logits.argmax(1)
    for name, net, outputs in (
        ("explanation_student", case.student, case.batch.student),
        ("explanation_teacher", case.teacher, case.batch.teacher),
    ):
        assert not found[name].requires_grad
        for row, y in enumerate(answers.tolist()):
            feature = outputs.features[-1][row].detach().double().numpy()
            expected = slow_cam(feature, net.head[1].weight[y].detach().double().numpy())
            np.testing.assert_allclose(found[name][row].numpy(), expected, rtol=1e-4, atol=1e-6)


def test_the_gradient_is_of_the_second_order() -> None:
    """Against differences: the classifier's weights move the explanation through the derivative alone."""
    case = situation(E2KD())
    weight = case.student.head[1].weight
    value = E2KD().terms(case.batch, None)["explanation"].value
    (slope,) = torch.autograd.grad(value, weight)
    place = divmod(int(slope.abs().argmax()), weight.shape[1])
    ends = []
    for sign in (1, -1):
        with torch.no_grad():
            weight[place] += sign * 5e-3
        ends.append(E2KD().terms(case.batch, None)["explanation"].value.item())
        with torch.no_grad():
            weight[place] -= sign * 5e-3
    assert slope[place].item() == pytest.approx((ends[0] - ends[1]) / 1e-2, rel=0.05)


def test_gradients_reach_the_students_blocks_and_never_the_teacher() -> None:
    case = situation(E2KD())
    E2KD().terms(case.batch, None)["explanation"].value.backward()
    assert case.student.blocks[0][0].weight.grad.abs().sum() > 0
    assert all(weight.grad is None for weight in case.teacher.parameters())


def test_it_explains_where_gradients_are_switched_off() -> None:
    case = situation(E2KD())
    with torch.no_grad():
        silent = E2KD().terms(case.batch, None)["explanation"].value
    torch.testing.assert_close(silent, E2KD().terms(case.batch, None)["explanation"].value.detach())


def test_weights_are_the_knobs_and_the_answer_is_distilled_too() -> None:
    method = E2KD(temperature=2.0, label_weight=0.5, kd_weight=2.0, explanation_weight=10.0)
    batch = situation(method).batch
    terms = method.terms(batch, None)
    assert {name: term.weight for name, term in terms.items()} == {"labels": 0.5, "kd": 2.0, "explanation": 10.0}
    expected = slow_kd(batch.student.logits.detach(), batch.teacher.logits, 2.0)
    assert terms["kd"].value.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("student", "teacher"), [("mlp", "cnn"), ("cnn", "mlp")])
def test_a_network_without_maps_is_refused(student: str, teacher: str) -> None:
    ours, theirs = (MODELS[name](width=8).build(SHAPE, 4) for name in (student, teacher))
    with pytest.raises(BadInput, match=r"one of the two has vectors alone.*such as 'cnn' or 'resnet'\."):
        E2KD().connect(pair(E2KD(), ours, theirs, 4))
    E2KD().connect(pair(E2KD(), *nets(), classes=4))
