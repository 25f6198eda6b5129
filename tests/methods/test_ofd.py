"""OFD: its partial L2 and margins against slow loops, its weights of stages by hand, and networks cut before ReLUs."""

import numpy as np
import pytest
import torch
from situation import SHAPE, nets, pair, situation
from slow import normal as draw
from torch import Tensor

from kdcore.contracts.net import unrectified
from kdcore.contracts.outputs import Outputs
from kdcore.methods.ofd import OFD, Overhaul, negatives, partial_l2
from kdcore.spec.registry import MODELS

torch.set_num_threads(1)


def slow_partial(student: Tensor, target: Tensor) -> float:
    """Equation 4 of the paper, summed over places and averaged over rows."""
    total = 0.0
    for s, t in zip(student.double().numpy().flat, target.double().numpy().flat, strict=True):
        total += 0.0 if s <= t <= 0 else (t - s) ** 2
    return total / len(student)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("rows", [1, 4])
@pytest.mark.parametrize("shape", [(5,), (3, 4, 4)])
def test_the_partial_l2_is_the_slow_loop(scale: float, rows: int, shape: tuple[int, ...]) -> None:
    student, target = draw(rows, *shape, scale=scale), draw(rows, *shape, seed=1)
    assert partial_l2(student, target).item() == pytest.approx(slow_partial(student, target), rel=1e-5)


def test_nothing_is_asked_of_what_is_below_a_target_that_is_not_positive() -> None:
    student = torch.tensor([[-2.0, -2.0, 0.5, 2.0]], requires_grad=True)
    target = torch.tensor([[-1.0, 1.0, -1.0, 1.0]])
    loss = partial_l2(student, target)
    loss.backward()
    assert loss.item() == pytest.approx(0 + 9 + 2.25 + 1)
    assert student.grad is not None
    assert student.grad.tolist() == [[0.0, -6.0, 3.0, 2.0]]


def test_margins_are_the_mean_negative_response_of_each_channel() -> None:
    feature = draw(4, 3, 5, 5)
    feature[:, 2] = feature[:, 2].abs()
    total, count = negatives(feature)
    for channel in range(3):
        below = [value for value in feature[:, channel].double().numpy().flat if value < 0]
        assert count[channel].item() == len(below)
        assert total[channel].item() == pytest.approx(sum(below), rel=1e-5)


def test_the_margin_of_gaussian_responses_is_the_published_codes_closed_form() -> None:
    mean, deviation = 0.4, 1.5
    total, count = negatives(mean + deviation * draw(4000, 1, 8, 8))
    density = np.exp(-((mean / deviation) ** 2) / 2) / np.sqrt(2 * np.pi)
    share = 0.5 * (1 + torch.erf(torch.tensor(-mean / deviation / np.sqrt(2))).item())
    assert (total / count).item() == pytest.approx(mean - deviation * density / share, rel=0.01)


def test_margins_come_from_the_training_rows_before_the_relu() -> None:
    *_, state, _ = situation(OFD())
    assert isinstance(state, Overhaul)
    student, teacher = (OFD().wrap_teacher(net) for net in nets())
    told = pair(OFD(), student, teacher, classes=4)
    assert told.inputs is not None
    features = teacher(told.inputs(told.shown)).features
    state = OFD().connect(told)
    for place, feature in enumerate(features):
        assert feature.min() < 0
        total, count = negatives(feature)
        torch.testing.assert_close(state.get_buffer(f"margin_{place}"), total / count.clamp(min=1))


def test_each_stage_counts_half_of_the_one_after_it() -> None:
    method = OFD(label_weight=2.0, feature_weight=0.5)
    *_, state, batch = situation(method)
    assert batch.teacher is not None
    state.eval()
    terms = method.terms(batch, state)
    assert [term.weight for term in terms.values()] == [2.0, 0.5]
    expected = 0.0
    for place, (student, teacher) in enumerate(zip(batch.student.features, batch.teacher.features, strict=True)):
        margin = state.get_buffer(f"margin_{place}")[None, :, None, None]
        regressed = state.regressors[place](student).detach()
        expected += slow_partial(regressed, torch.maximum(teacher, margin)) / 2 ** (2 - place)
    assert terms["features"].value.item() == pytest.approx(expected, rel=1e-5)


def test_a_student_that_is_the_teacher_behind_its_margins_costs_nothing() -> None:
    *_, state, batch = situation(OFD())
    assert batch.teacher is not None
    state.regressors = torch.nn.ModuleList(torch.nn.Identity() for _ in batch.teacher.features)
    told = tuple(
        torch.maximum(feature, state.get_buffer(f"margin_{place}")[None, :, None, None])
        for place, feature in enumerate(batch.teacher.features)
    )
    lower = tuple(torch.where(feature <= 0, feature - 1, feature) for feature in told)
    for features in (told, lower):
        terms = OFD().terms(batch._replace(student=Outputs(batch.student.logits, features)), state)
        assert terms["features"].value.item() == 0


@pytest.mark.parametrize(("ours", "theirs"), [("mlp", "cnn"), ("cnn", "mlp"), ("mlp", "mlp"), ("resnet", "cnn")])
def test_the_stages_of_any_two_networks_are_joined(ours: str, theirs: str) -> None:
    method = OFD()
    small = {"resnet": {"variant": "8"}}
    student, teacher = (
        unrectified(MODELS[name](**small.get(name, {"width": 8})).build(SHAPE, 4)) for name in (ours, theirs)
    )
    told = pair(method, student, teacher.eval().requires_grad_(False), classes=4)
    assert told.inputs is not None
    state, x = method.connect(told), told.inputs(told.shown)
    *_, batch = situation(method)
    batch = batch._replace(student=student(x), teacher=teacher(x), labels=told.labels)
    loss = method.terms(batch, state)["features"].value
    loss.backward()
    assert loss.isfinite()
    assert all(weight.grad is not None for weight in state.parameters())
