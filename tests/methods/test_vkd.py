"""V_kD against a slow loop, and that its map stays orthogonal whatever training does to it."""

import math

import numpy as np
import pytest
import torch
from situation import situation
from slow import normal as draw

from kdcore.contracts.net import pooled
from kdcore.methods.vkd import VkD, orthonormal, projected_loss

torch.set_num_threads(1)
SHAPES = [(6, 4), (5, 5), (3, 7), (4, 1), (1, 4)]


def slow_gram_schmidt(weight: np.ndarray) -> np.ndarray:
    """Of the columns of a matrix that has no more columns than rows, in float64."""
    found: list[np.ndarray] = []
    for column in weight.T:
        rest = column - sum((float(column @ other) * other for other in found), np.zeros(len(column)))
        found.append(rest / math.sqrt(float(rest @ rest)))
    return np.array(found).T


def slow_loss(student: np.ndarray, teacher: np.ndarray, projection: np.ndarray) -> float:
    values = []
    for s, t in zip(student, teacher, strict=True):
        mean = sum(t) / len(t)
        deviation = math.sqrt(sum((x - mean) ** 2 for x in t) / len(t) + 1e-5)
        for row, x in zip(projection, t, strict=True):
            gap = abs(sum(a * b for a, b in zip(row, s, strict=True)) - (x - mean) / deviation)
            values.append(0.5 * gap**2 if gap < 1 else gap - 0.5)
    return float(sum(values) / len(values))


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("rows", [1, 5])
@pytest.mark.parametrize(("theirs", "ours"), SHAPES)
def test_the_loss_is_the_slow_loop(scale: float, rows: int, theirs: int, ours: int) -> None:
    student, teacher, weight = draw(rows, ours, scale=scale), draw(rows, theirs, seed=1), draw(theirs, ours, seed=2)
    exact = weight.double().numpy()
    projection = slow_gram_schmidt(exact) if theirs >= ours else slow_gram_schmidt(exact.T).T
    expected = slow_loss(student.double().numpy(), teacher.double().numpy(), projection)
    assert projected_loss(student, teacher, orthonormal(weight)).item() == pytest.approx(expected, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize(("theirs", "ours"), SHAPES)
def test_the_map_is_orthogonal_and_keeps_norms(theirs: int, ours: int) -> None:
    projection, student = orthonormal(draw(theirs, ours)), draw(9, ours, seed=1)
    narrow = projection if theirs >= ours else projection.T
    torch.testing.assert_close(narrow.T @ narrow, torch.eye(min(theirs, ours)), atol=1e-5, rtol=0)
    if theirs >= ours:
        torch.testing.assert_close((student @ projection.T).norm(dim=1), student.norm(dim=1))
    assert projection.shape == (theirs, ours)


def test_an_orthogonal_matrix_stays_itself_and_its_length_does_not_matter() -> None:
    quarter = torch.tensor([[0.0, -1.0], [1.0, 0.0]])
    torch.testing.assert_close(orthonormal(quarter), quarter)
    weight = draw(6, 4)
    torch.testing.assert_close(orthonormal(0.01 * weight), orthonormal(weight))


def test_the_rotated_normalised_features_of_the_teacher_cost_nothing() -> None:
    teacher, projection = draw(5, 4, scale=3.0), orthonormal(draw(4, 4, seed=1))
    student = torch.nn.functional.layer_norm(teacher, (4,)) @ projection
    assert projected_loss(student, teacher, projection).item() < 1e-10
    assert projected_loss(student, 7 * teacher + 2, projection).item() < 1e-6
    assert projected_loss(-student, teacher, projection).item() > 0.1


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_near(dtype: torch.dtype) -> None:
    student, teacher, projection = draw(5, 4), draw(5, 6, scale=1e3, seed=1), orthonormal(draw(6, 4, seed=2))
    found = projected_loss(student.to(dtype), teacher.to(dtype), projection)
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(projected_loss(student, teacher, projection).item(), rel=0.02)


@pytest.mark.parametrize("wide", [False, True])
def test_training_with_weight_decay_turns_the_map_and_leaves_it_orthogonal(wide: bool) -> None:
    method = VkD(label_weight=2.0, feature_weight=3.0)
    *_, state, batch = situation(method)
    if wide:
        state = torch.nn.Linear(batch.student.features[-1].shape[1], 5, bias=False)
        teacher = batch.teacher._replace(features=(draw(6, 5),))
        batch = batch._replace(teacher=teacher)
    detached = batch._replace(student=batch.student._replace(features=(batch.student.features[-1].detach(),)))
    before, losses = orthonormal(state.weight).detach(), []
    rule = torch.optim.SGD(state.parameters(), lr=1.0, momentum=0.9, weight_decay=0.01)
    for _ in range(30):
        loss = method.terms(detached, state)["features"].value
        rule.zero_grad()
        loss.backward()
        rule.step()
        losses.append(loss.item())
    projection = orthonormal(state.weight).detach()
    narrow = projection.T if wide else projection
    torch.testing.assert_close(narrow.T @ narrow, torch.eye(narrow.shape[1]), atol=1e-5, rtol=0)
    assert losses[-1] < losses[0]
    assert (projection - before).abs().max() > 0.01
    assert [term.weight for term in method.terms(batch, state).values()] == [2.0, 3.0]


def test_the_free_map_is_the_matrix_itself() -> None:
    *_, state, batch = situation(VkD())
    student, teacher = pooled(batch.student.features[-1]), pooled(batch.teacher.features[-1])
    free, kept = (VkD(orthogonal=choice).terms(batch, state)["features"].value for choice in (False, True))
    assert free == projected_loss(student, teacher, state.weight)
    assert kept == projected_loss(student, teacher, orthonormal(state.weight))
    assert free != kept
