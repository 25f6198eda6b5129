"""PESF-KD: the adapter starts as nothing, learns at its own rate, and the target is what the student follows."""

import math

import pytest
import slow
import torch
from situation import Situation, situation
from torch import Tensor

from kdcore.contracts.outputs import Outputs
from kdcore.methods.kd import KD
from kdcore.methods.pesf import PESF, adapter, sharpness

torch.set_num_threads(1)


def awake(method: PESF, rows: int = 6, classes: int = 4) -> Situation:
    """A situation whose adapter says something."""
    found = situation(method, rows, classes)
    with torch.no_grad():
        found.state[-1].weight.normal_(0, 0.3)
        found.state[-1].bias.normal_()
    return found


def slow_adapted(logits: Tensor, features: Tensor, state: torch.nn.Module) -> list[list[float]]:
    """z - A(f) with the layers written out."""
    first, second, _, last = state
    found = []
    for row, feature in zip(slow.rows_of(logits), slow.rows_of(features), strict=True):
        for layer, bends in ((first, False), (second, True), (last, False)):
            weight, bias = slow.rows_of(layer.weight), layer.bias.double().tolist()
            feature = [
                sum(w * f for w, f in zip(ws, feature, strict=True)) + b for ws, b in zip(weight, bias, strict=True)
            ]
            feature = [max(0.0, value) for value in feature] if bends else feature
        found.append([z - change for z, change in zip(row, feature, strict=True)])
    return found


def repaired(rows: list[list[float]], targets: list[int]) -> list[list[float]]:
    """Each row with its largest and its true value exchanged."""
    found = [list(row) for row in rows]
    for row, y in zip(found, targets, strict=True):
        top = row.index(max(row))
        row[top], row[y] = row[y], row[top]
    return found


@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize("scale", [0.0, 1.0, 1e3])
@pytest.mark.parametrize(("rows", "classes"), [(1, 4), (6, 4), (5, 2)])
def test_the_terms_are_the_slow_loop(swap: bool, scale: float, rows: int, classes: int) -> None:
    method = PESF(swap=swap, temperature=2.0)
    *_, state, batch = awake(method, rows, classes)
    ours = slow.draw(rows, classes, scale)
    batch = batch._replace(student=Outputs(ours, ()))
    targets, teacher = batch.targets.tolist(), batch.teacher.logits
    adapted = slow_adapted(teacher, batch.teacher.features[-1].mean((2, 3)), state)
    if swap:
        exchanged = torch.tensor(repaired(slow.rows_of(teacher), targets))
        turned = torch.tensor(repaired(slow.rows_of(ours), targets))
        divergence = slow.soft_kl(ours, exchanged, 2.0) + slow.soft_kl(turned, torch.tensor(adapted), 2.0)
    else:
        divergence = slow.soft_kl(ours, torch.tensor(adapted), 2.0)
    expected = {
        "labels": slow.label_loss(ours, batch.labels),
        "kd": divergence,
        "adapter": slow.label_loss(torch.tensor(adapted), batch.targets),
    }
    found = {name: term.value.item() for name, term in method.terms(batch, state).items()}
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_at_first_it_is_plain_distillation() -> None:
    *_, state, batch = situation(PESF())
    ours, theirs = PESF().terms(batch, state), KD().terms(batch, None)
    assert [ours[name].value for name in theirs] == [term.value for term in theirs.values()]
    assert torch.equal(adapter(8, 3)(slow.draw(2, 8)), torch.zeros(2, 3))


@pytest.mark.parametrize("swap", [False, True])
def test_the_adapter_learns_at_its_own_rate_and_the_student_at_its(swap: bool) -> None:
    *_, state, batch = awake(PESF())
    student = slow.draw(6, 4).requires_grad_()
    batch, slopes = batch._replace(student=Outputs(student, ())), {}
    for rate in (1.0, 0.25, 0.0):
        terms = PESF(swap=swap, adapter_rate=rate).terms(batch, state)
        slopes[rate] = torch.autograd.grad(terms["kd"].value + terms["adapter"].value, [student, *state.parameters()])
    for whole, quarter, none in zip(*slopes.values(), strict=True):
        scaled = whole is not slopes[1.0][0]
        torch.testing.assert_close(quarter, whole * (0.25 if scaled else 1.0))
        assert (none.abs().sum() == 0) == scaled


def test_with_the_swap_the_student_follows_the_repaired_teacher_alone() -> None:
    """The adapter may say what it likes: the student's gradient is that of the swapped target."""
    *_, state, batch = awake(PESF())
    student = slow.draw(6, 4).requires_grad_()
    batch, method = batch._replace(student=Outputs(student, ())), PESF(swap=True)
    target = method.arrays(batch, state)["target"].log()
    found = torch.autograd.grad(method.terms(batch, state)["kd"].value, student)[0]
    alone = KD().terms(batch._replace(teacher=Outputs(target, ())), None)["kd"].value
    torch.testing.assert_close(found, torch.autograd.grad(alone, student)[0])
    assert torch.equal(target.argmax(1), batch.targets)


@pytest.mark.parametrize("swap", [False, True])
def test_a_student_that_equals_its_target_is_left_alone(swap: bool) -> None:
    *_, state, batch = awake(PESF())
    method = PESF(swap=swap)
    student = method.taught(batch, state).detach().requires_grad_()
    term = method.terms(batch._replace(student=Outputs(student, ())), state)["kd"].value
    assert torch.autograd.grad(term, student)[0].abs().max() < 1e-6
    if not swap:
        assert term.item() == pytest.approx(0.0, abs=1e-6)


def test_sharpness_and_its_gap() -> None:
    assert sharpness(torch.tensor([[0.0, 0.0], [2.0, 0.0]]), 2.0).tolist() == pytest.approx(
        [math.log(2), math.log(math.e + 1)]
    )
    *_, state, batch = situation(PESF())
    notes = PESF().metrics(batch, state)
    assert notes["gap"] == notes["gap_before"]
    expected = sharpness(batch.teacher.logits, 4.0).mean() - sharpness(batch.student.logits, 4.0).mean()
    assert notes["gap"].item() == pytest.approx(expected.item(), abs=1e-6)
    assert notes["teacher_repaired"] == notes["student_repaired"] == 0


def test_repairs_are_counted_where_they_are_made() -> None:
    *_, state, batch = situation(PESF(), 4, unlabelled=False)
    teacher, student = torch.eye(4)[[0, 1, 2, 0]], torch.eye(4)[[0, 0, 0, 0]]
    batch = batch._replace(teacher=Outputs(teacher, batch.teacher.features), student=Outputs(student, ()))
    notes = PESF(swap=True).metrics(batch, state)
    assert (notes["teacher_repaired"].item(), notes["student_repaired"].item()) == (0.25, 0.75)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("swap", [False, True])
def test_half_precision_is_near(swap: bool, dtype: torch.dtype) -> None:
    method = PESF(swap=swap)
    *_, state, batch = awake(method)
    teacher = Outputs(batch.teacher.logits.to(dtype), tuple(one.to(dtype) for one in batch.teacher.features))
    cut = batch._replace(student=Outputs(batch.student.logits.to(dtype), ()), teacher=teacher)
    exact = method.terms(batch, state)
    for name, term in method.terms(cut, state).items():
        assert term.value.item() == pytest.approx(exact[name].value.item(), rel=0.03, abs=0.01)
