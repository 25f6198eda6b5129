"""KD++ against a slow loop, by hand, and what norm and direction ask for."""

import math

import numpy as np
import pytest
import torch
from situation import Situation, nets, pair, situation
from slow import normal as draw

from kdcore.contracts.net import pooled
from kdcore.methods.nd import ND, Means, directions, nd_rows
from kdcore.nn.losses import kd_loss

torch.set_num_threads(1)


def slow_directions(features: np.ndarray, targets: list[int], classes: int) -> list[np.ndarray]:
    found = []
    for c in range(classes):
        rows = [row for row, y in zip(features, targets, strict=True) if y == c]
        mean = sum(rows) / max(len(rows), 1) + np.zeros(features.shape[1])
        found.append(mean / math.sqrt(float((mean**2).sum())) if rows else mean)
    return found


def slow_nd(student: np.ndarray, teacher: np.ndarray, along: np.ndarray) -> list[float]:
    values = []
    for s, t, e in zip(student, teacher, along, strict=True):
        lengths = [math.sqrt(sum(float(x) ** 2 for x in feature)) for feature in (s, t)]
        values.append(1 - sum(float(x * y) for x, y in zip(s, e, strict=True)) / max(lengths))
    return values


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("rows", [1, 6])
def test_the_loss_is_the_slow_loop(scale: float, rows: int) -> None:
    student, teacher, every = draw(rows, 5, scale=scale), draw(rows, 5, seed=1), draw(9, 5, scale=10.0, seed=2)
    targets = [0, 1, 3, 0, 1, 3, 3, 0, 0]  # no row of class 2
    slow = slow_directions(every.double().numpy(), targets, 4)
    found = directions(every, torch.tensor(targets), 4)
    torch.testing.assert_close(found, torch.tensor(np.array(slow)).float())
    chosen = [0, 1, 3, 3, 1, 2][:rows]
    expected = slow_nd(student.double().numpy(), teacher.double().numpy(), np.array([slow[y] for y in chosen]))
    assert nd_rows(student, teacher, found[torch.tensor(chosen)]).tolist() == pytest.approx(
        expected, rel=1e-5, abs=1e-6
    )


def test_nd_by_hand() -> None:
    teacher, along = torch.tensor([[0.0, 2.0]]), torch.tensor([[1.0, 0.0]])
    for student, expected in [((2.0, 0.0), 0.0), ((5.0, 0.0), 0.0), ((1.0, 0.0), 0.5), ((-2.0, 0.0), 2.0)]:
        assert nd_rows(torch.tensor([student]), teacher, along).item() == pytest.approx(expected)
    assert nd_rows(torch.tensor([[3.0, 4.0]]), teacher, along).item() == pytest.approx(0.4)  # cosine 3/5


def test_short_features_are_told_to_grow_and_long_ones_only_to_turn() -> None:
    teacher, along = draw(4, 3, scale=2.0), torch.nn.functional.normalize(draw(4, 3, seed=1))
    for size, grows in [(0.1, True), (100.0, False)]:
        student = (size * (along + 0.1 * draw(4, 3, seed=2))).requires_grad_()
        nd_rows(student, teacher, along).sum().backward()
        radial = (student.grad * student).sum(1) / student.detach().norm(dim=1)
        assert bool((radial < -1e-2).all()) is grows
        assert bool((radial.abs() < 1e-6).all()) is not grows


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_near_and_features_of_length_zero_are_finite(dtype: torch.dtype) -> None:
    student, teacher, along = draw(4, 5, scale=100.0), draw(4, 5, seed=1), directions(draw(4, 5), torch.arange(4), 4)
    found = nd_rows(student.to(dtype), teacher.to(dtype), along)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, nd_rows(student, teacher, along), atol=0.02, rtol=0.02)
    nothing = torch.zeros(4, 5, requires_grad=True)
    loss = nd_rows(nothing, torch.zeros(4, 5), along).sum()
    loss.backward()
    assert loss.item() == 4
    assert nothing.grad.isfinite().all()


def met(method: ND) -> Situation:
    return situation(method, rows=6, classes=4)


def test_the_terms_are_projected_features_and_softened_probabilities() -> None:
    method = ND(label_weight=2.0, kd_weight=3.0, nd_weight=4.0, warmup=0.2)
    *_, state, batch = met(method)
    terms = method.terms(batch, state)
    assert [term.weight for term in terms.values()] == [2.0, 3.0, 4.0]
    assert method.terms(batch._replace(progress=0.05), state)["kd"].weight == pytest.approx(0.75)
    assert terms["kd"].value == kd_loss(batch.student.logits, batch.teacher.logits, 4.0)
    student = pooled(batch.student.features[-1]) @ state.project.weight.T + state.project.bias
    rows = nd_rows(student, pooled(batch.teacher.features[-1]), state.directions[batch.targets])
    torch.testing.assert_close(terms["nd"].value, rows.mean())


def test_equal_widths_need_no_layer_and_a_student_in_the_teachers_place_is_seen() -> None:
    state = Means(directions(draw(8, 5), torch.arange(8) % 4, 4), width=5)
    assert not list(state.parameters())
    *_, batch = met(ND())
    ideal = 3.0 * state.directions[batch.targets]
    side = batch.student._replace(features=(ideal,))
    same = batch._replace(student=side, teacher=batch.teacher._replace(features=(ideal / 3,)))
    assert ND().terms(same, state)["nd"].value.item() == pytest.approx(0.0, abs=1e-6)
    notes = ND().metrics(same, state)
    assert notes["norm_ratio"].item() == pytest.approx(3.0)
    assert notes["alignment"].item() == pytest.approx(1.0)


def test_the_directions_are_those_of_the_training_rows_the_teacher_stands_in_for_labels() -> None:
    method = ND()
    told = pair(method, *nets(), classes=4)
    answers = told.answers()
    labels = told.labels.clone()
    labels[::2] = -1
    state = method.connect(told._replace(labels=labels))
    targets = [
        y if y >= 0 else guess for y, guess in zip(labels.tolist(), answers.logits.argmax(1).tolist(), strict=True)
    ]
    expected = slow_directions(answers.features[-1].double().detach().numpy(), targets, 4)
    torch.testing.assert_close(state.directions, torch.tensor(np.array(expected)).float(), atol=1e-5, rtol=1e-4)
