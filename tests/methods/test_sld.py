"""Swaps, and distillation of a swapped teacher and a swapped student, against slow float64 loops and by identities."""

import math

import pytest
import torch
from slow import draw, label_loss, soft_kl, softmax
from wrong_teacher import batch_of, drawn, slow_swap, swapped, top_of, values

from kdcore.methods.sld import SLD, both_views, ladder_loss
from kdcore.nn.losses import cross_entropy, kd_loss, swap, wrong

torch.set_num_threads(1)
SCALES = [0.0, 1.0, 30.0, 1e3]


# ---- the swap


def test_a_swap_by_hand() -> None:
    logits = torch.tensor([[3.0, 1.0, 2.0], [3.0, 1.0, 2.0], [0.0, 0.0, -1.0]])
    found = swap(logits, torch.tensor([1, 0, 1]))
    assert found.tolist() == [[1.0, 3.0, 2.0], [3.0, 1.0, 2.0], [0.0, 0.0, -1.0]]
    assert wrong(logits, torch.tensor([1, 0, 1])).tolist() == [True, False, True]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_swap_keeps_all_logits_changes_nothing_twice_and_puts_the_target_first(dtype: torch.dtype) -> None:
    logits, targets = draw(40, 6).to(dtype), torch.arange(40) % 6
    found = swap(logits, targets)
    assert found.dtype == dtype
    assert found.tolist() == [slow_swap(row, y) for row, y in zip(logits.tolist(), targets.tolist(), strict=True)]
    assert torch.equal(found.sort(1).values, logits.sort(1).values)
    assert torch.equal(swap(found, targets), found)
    assert not wrong(found, targets).any()
    assert torch.equal(swap(logits, logits.argmax(1)), logits)


def test_swapping_the_teacher_changes_its_cross_entropy_by_the_gaps_product() -> None:
    student, teacher, targets = draw(20, 5).double(), draw(20, 5, seed=1).double(), torch.arange(20) % 5
    log_q, p = student.log_softmax(1), teacher.softmax(1)
    change = -(swap(teacher, targets).softmax(1) * log_q).sum(1) + (p * log_q).sum(1)
    for row, y in enumerate(targets.tolist()):
        m = int(teacher[row].argmax())
        expected = (p[row, m] - p[row, y]) * (log_q[row, m] - log_q[row, y])
        assert change[row].item() == pytest.approx(expected.item(), abs=1e-12)


# ---- SLD


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("temperatures", [1, 6])
def test_sld_is_the_slow_loop_over_views_and_temperatures(scale: float, temperatures: int) -> None:
    batch = drawn(scale=scale)
    views = [(batch.student, batch.teacher), (batch.second.student, batch.second.teacher)]
    expected = {"labels": 0.0, "teacher": 0.0, "student": 0.0}
    for student, teacher in views:
        expected["labels"] += label_loss(student.logits, batch.labels)
        for temperature in range(1, temperatures + 1):
            for key, side in [("teacher", teacher), ("student", student)]:
                expected[key] += soft_kl(student.logits, swapped(side.logits, batch.labels), temperature)
    assert values(SLD(temperatures=temperatures), batch) == pytest.approx(expected, rel=2e-5, abs=1e-5)


@pytest.mark.parametrize(("rows", "classes"), [(1, 4), (4, 2), (1, 2)])
def test_sld_of_one_row_and_two_classes(rows: int, classes: int) -> None:
    batch = drawn(rows, classes, scale=50.0)
    second = batch.second
    expected = math.fsum(
        soft_kl(side.logits, swapped(other.logits, batch.labels), temperature)
        for side, other in [(batch.student, batch.teacher), (second.student, second.teacher)]
        for temperature in range(1, 7)
    )
    assert values(SLD(), batch)["teacher"] == pytest.approx(expected, rel=2e-5)


@pytest.mark.parametrize("temperature", [1.0, 2.0, 6.0])
def test_the_students_own_swap_is_a_penalty_on_the_margin_of_its_mistake(temperature: float) -> None:
    """KL(swap(z_s) || z_s) at T is (q_m - q_y)(z_m - z_y) / T, and 0 where the student is right."""
    logits, targets = draw(12, 5), torch.arange(12) % 5
    total = 0.0
    for row, y in zip(logits.double().tolist(), targets.tolist(), strict=True):
        q, m = softmax(row, temperature), top_of(row)
        total += (q[m] - q[y]) * (row[m] - row[y]) / temperature
    found = kd_loss(logits, swap(logits, targets), temperature) / temperature**2
    assert total > 0
    assert found.item() == pytest.approx(total / 12, rel=1e-5)
    assert ladder_loss(logits, swap(logits, logits.argmax(1)), 6).item() == 0


def test_the_ladder_is_the_sum_of_single_temperatures() -> None:
    student, target = draw(5, 7), draw(5, 7, seed=1)
    expected = sum(kd_loss(student, target, float(temperature)) for temperature in range(1, 7))
    torch.testing.assert_close(ladder_loss(student, target, 6), expected)
    torch.testing.assert_close(ladder_loss(student, target, 1), kd_loss(student, target, 1.0))


def test_the_students_swap_joins_after_a_share_of_the_run() -> None:
    batch, method = drawn(), SLD()
    for progress, weight in [(0.0, 0.0), (0.624, 0.0), (150 / 240, 0.9), (0.99, 0.9)]:
        weights = {key: term.weight for key, term in method.terms(batch._replace(progress=progress), None).items()}
        assert weights == {"labels": 0.1, "teacher": 0.9, "student": weight}
    assert SLD(student_start=1.0).terms(batch._replace(progress=0.999), None)["student"].weight == 0.0
    assert SLD(student_start=0.0, kd_weight=2.0).terms(batch._replace(progress=0.0), None)["student"].weight == 2.0


def test_a_detached_target_pulls_two_classes_and_the_released_one_all() -> None:
    for detach, pulled in [(True, 2), (False, 5)]:
        leaf = torch.tensor([[0.3, 1.2, -0.4, 0.7, 0.1]], requires_grad=True)  # its choice, 1, is not the label
        batch = batch_of(leaf, draw(1, 5), torch.tensor([0]))
        SLD(detach_target=detach).terms(batch, None)["student"].value.backward()
        assert int((leaf.grad.abs() > 1e-5).sum()) == pulled
        assert leaf.grad[0, 0] < 0  # both raise the label
        assert leaf.grad[0, 1] > 0  # and lower the mistake
    assert SLD().detach_target is False


def test_sld_counts_what_it_repairs_over_both_views() -> None:
    right, off = torch.eye(3)[:2], torch.eye(3)[[1, 2]]  # labels 0 and 1
    batch = batch_of(right, off, torch.tensor([0, 1]), (off, torch.cat((right[:1], off[1:]))))
    found = {name: value.item() for name, value in SLD().metrics(batch, None).items()}
    assert found == {"teacher_repaired": 0.75, "student_repaired": 0.5}
    for logits in both_views(batch)[:2]:
        assert logits.shape == (4, 3)


def test_cross_entropy_counts_both_views() -> None:
    batch = drawn()
    expected = cross_entropy(batch.student.logits, batch.labels) + cross_entropy(
        batch.second.student.logits, batch.labels
    )
    torch.testing.assert_close(SLD().terms(batch, None)["labels"].value, expected)
