"""Grad-CAM against a loop, the cosine of explanations, and gradients of the second order against differences."""

import math
from itertools import product

import numpy as np
import pytest
import torch
from situation import SHAPE, nets, pair, situation
from slow import draw
from test_losses import slow_kd
from torch import Tensor, nn

from kdcore.contracts.net import Net
from kdcore.errors import BadInput
from kdcore.methods.e2kd import E2KD, enlarged, explanation_loss, grad_cam
from kdcore.nn.connectors import Pooled
from kdcore.spec.registry import MODELS

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


def slow_enlarged(maps: Tensor, size: int) -> Tensor:
    """Square maps (B, h, h) between whose middles values rise and fall in a line, constant at the rim; (B, H, H)."""
    found, count = torch.zeros(len(maps), size, size, dtype=torch.float64), maps.shape[1]
    for row, i, j in product(range(len(maps)), range(size), range(size)):
        for k, m in product(range(count), range(count)):
            share = 1.0
            for place, whole in ((i, k), (j, m)):
                middle = min(max((place + 0.5) * count / size - 0.5, 0), count - 1)
                share *= max(0.0, 1 - abs(middle - whole))
            found[row, i, j] += share * maps[row, k, m].item()
    return found


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


@pytest.mark.parametrize(("rows", "mine", "theirs"), [(5, 4, 4), (5, 4, 2), (1, 2, 8), (3, 1, 1)])
@pytest.mark.parametrize("scale", [1.0, 1e3])
def test_the_loss_is_the_slow_loop(rows: int, mine: int, theirs: int, scale: float) -> None:
    student, teacher = explanations(rows, mine, scale), explanations(rows, theirs, 1.0, seed=1)
    expected = slow_loss(slow_enlarged(student, 8), slow_enlarged(teacher, 8))
    assert explanation_loss(student, teacher, (8, 8)).item() == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_the_loss_by_hand() -> None:
    teacher = torch.tensor([[[1.0, 0.0]], [[0.0, 0.0]]])
    student = torch.tensor([[[1.0, 1.0]], [[0.0, 3.0]]])
    assert explanation_loss(student, teacher, (1, 2)).item() == pytest.approx((1 - 0.5**0.5) / 2)
    wide = (1 + 0.75 + 0.25) / math.sqrt(4 * (1 + 0.75**2 + 0.25**2))  # 1, 0 at four places is 1, .75, .25, 0
    assert explanation_loss(student, teacher, (1, 4)).item() == pytest.approx((1 - wide) / 2)


def test_enlarging_is_torchs_bilinear_interpolation_and_its_gradient() -> None:
    maps = torch.rand(3, 2, 4).requires_grad_()
    theirs = torch.nn.functional.interpolate(maps[:, None], (7, 9), mode="bilinear")[:, 0]
    ours = enlarged(maps, (7, 9))
    torch.testing.assert_close(ours, theirs)
    slopes = [torch.autograd.grad(one.square().sum(), maps)[0] for one in (ours, theirs)]
    torch.testing.assert_close(*slopes)
    assert torch.equal(enlarged(maps, (2, 4)), maps)


def test_an_empty_explanation_pulls_nowhere_and_everything_stays_finite() -> None:
    features = -torch.ones(2, 3, 2, 2)
    features.requires_grad_()
    net = Net([nn.Identity()], nn.Sequential(Pooled(), nn.Linear(3, 2)))
    nn.init.ones_(net.head[1].weight)
    loss = explanation_loss(grad_cam(net, (features,), torch.tensor([0, 1])), torch.ones(2, 2, 2), (4, 4))
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
    found = E2KD().arrays(case.batch, None)
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
