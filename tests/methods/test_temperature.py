"""Temperatures and normalisations of logits against slow float64 loops of their equations, and identities they keep."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from situation import situation
from slow import Row, divergence, draw, log_softmax, rows_of
from torch import Tensor

from kdcore.contracts.method import Batch, Method
from kdcore.contracts.outputs import Outputs
from kdcore.methods.adat import AdaT, adat_loss, largest_standardised
from kdcore.methods.dkd import DKD
from kdcore.methods.lskd import LSKD, lskd_loss
from kdcore.methods.luminet import LumiNet, column_standardised, luminet_loss
from kdcore.methods.normkd import NormKD, normkd_loss, row_temperature
from kdcore.nn.losses import standardised, weighted_kl

torch.set_num_threads(1)
Rows = list[list[float]]


def slow_kl(teacher: Row, student: Row) -> float:
    return divergence(log_softmax(teacher), log_softmax(student))


def mean_std(row: Row) -> tuple[float, float]:
    mean = math.fsum(row) / len(row)
    return mean, math.sqrt(math.fsum((value - mean) ** 2 for value in row) / (len(row) - 1))


def slow_z(row: Row) -> list[float]:
    mean, std = mean_std(row)
    return [(value - mean) / (std + 1e-7) for value in row]


def slow_lskd(student: Rows, teacher: Rows, temperature: float) -> float:
    total = 0.0
    for s, t in zip(student, teacher, strict=True):
        total += temperature**2 * slow_kl([v / temperature for v in slow_z(t)], [v / temperature for v in slow_z(s)])
    return total / len(student)


def slow_normkd(student: Rows, teacher: Rows, temperature: float) -> float:
    total = 0.0
    for s, t in zip(student, teacher, strict=True):
        own_s, own_t = (temperature * (mean_std(row)[1] + 1e-7) for row in (s, t))
        total += own_t**2 * slow_kl([v / own_t for v in t], [v / own_s for v in s])
    return total / len(student)


def slow_adat(student: Rows, teacher: Rows, _: float) -> float:
    total = 0.0
    for s, t in zip(student, teacher, strict=True):
        hot = max(1 / math.sqrt(len(t)), *slow_z(t))
        total += hot**2 * slow_kl([v / hot for v in slow_z(t)], [v / hot for v in slow_z(s)])
    return total / len(student)


def slow_columns(rows: Rows) -> Rows:
    found = [[0.0] * len(rows[0]) for _ in rows]
    for c in range(len(rows[0])):
        column = [row[c] for row in rows]
        mean = math.fsum(column) / len(column)
        variance = math.fsum((value - mean) ** 2 for value in column) / len(column)
        for b, value in enumerate(column):
            found[b][c] = (value - mean) / math.sqrt(variance + 1e-5)
    return found


def slow_luminet(student: Rows, teacher: Rows, temperature: float) -> float:
    pairs = list(zip(slow_columns(student), slow_columns(teacher), strict=True))
    return math.fsum(slow_kl([v / temperature for v in t], [v / temperature for v in s]) for s, t in pairs) / len(pairs)


def adat(student: Tensor, teacher: Tensor, _: float = 0.0) -> Tensor:
    return adat_loss(student, teacher, largest_standardised(teacher))


Loss = Callable[[Tensor, Tensor, float], Tensor]
Slow = Callable[[Rows, Rows, float], float]
LOSSES: list[tuple[Loss, Slow]] = [
    (lskd_loss, slow_lskd),
    (normkd_loss, slow_normkd),
    (adat, slow_adat),
    (luminet_loss, slow_luminet),
]
OF_ROWS = [lskd_loss, normkd_loss, adat]


@pytest.mark.parametrize(("rows", "classes"), [(5, 7), (1, 4), (4, 2)])
@pytest.mark.parametrize("scale", [0.0, 0.01, 1.0, 1e3])
@pytest.mark.parametrize("temperature", [0.5, 2.0, 8.0])
@pytest.mark.parametrize(("loss", "slow"), LOSSES)
def test_it_is_the_slow_loop(loss: Loss, slow: Slow, temperature: float, scale: float, rows: int, classes: int) -> None:
    student, teacher = draw(rows, classes), draw(rows, classes, scale, seed=1)
    expected = slow(rows_of(student), rows_of(teacher), temperature)
    assert loss(student, teacher, temperature).item() == pytest.approx(expected, rel=2e-4, abs=2e-6)


@pytest.mark.parametrize(("loss", "slow"), LOSSES)
def test_a_teacher_of_one_hot_rows_is_the_slow_loop(loss: Loss, slow: Slow) -> None:
    student, teacher = draw(4, 6), 1e3 * torch.eye(6)[:4]
    expected = slow(rows_of(student), rows_of(teacher), 2.0)
    assert loss(student, teacher, 2.0).item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize(("loss", "slow"), LOSSES)
def test_half_precision_is_computed_in_float32(loss: Loss, slow: Slow, dtype: torch.dtype) -> None:
    student, teacher = draw(5, 7, 3.0).to(dtype), draw(5, 7, 300.0, seed=1).to(dtype)
    expected = slow(rows_of(student), rows_of(teacher), 2.0)
    assert loss(student, teacher, 2.0).item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("loss", "_"), LOSSES)
def test_rows_of_equal_logits_are_finite_and_so_are_their_gradients(loss: Loss, _: Slow) -> None:
    for student, teacher in [(draw(3, 4), torch.full((3, 4), 7.0)), (torch.full((3, 4), -7.0), draw(3, 4))]:
        leaf = student.clone().requires_grad_()
        value = loss(leaf, teacher, 2.0)
        value.backward()
        assert value.isfinite()
        assert leaf.grad.isfinite().all()


def test_standardised_logits_by_hand() -> None:
    """(0, 3, 6) has mean 3 and standard deviation 3; at T = 1 its softmax is that of (-1, 0, 1)."""
    torch.testing.assert_close(standardised(torch.tensor([[0.0, 3.0, 6.0]])), torch.tensor([[-1.0, 0.0, 1.0]]))
    assert row_temperature(torch.tensor([[0.0, 3.0, 6.0]]), 2.0).item() == pytest.approx(6.0)
    assert largest_standardised(torch.tensor([[0.0, 3.0, 6.0]])).item() == pytest.approx(1.0)
    e = math.e
    log_p = [math.log(v / (1 / e + 1 + e)) for v in (1 / e, 1.0, e)]
    expected = sum(math.exp(a) * (a - b) for a, b in zip(log_p, reversed(log_p), strict=True))  # the student reversed
    found = lskd_loss(torch.tensor([[6.0, 3.0, 0.0]]), torch.tensor([[0.0, 30.0, 60.0]]), 1.0)
    assert found.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("loss", OF_ROWS)
def test_losses_of_standardised_rows_do_not_see_the_students_shift_and_scale(loss: Loss) -> None:
    student, teacher = draw(5, 7), draw(5, 7, seed=1)
    scale, shift = torch.rand(5, 1) + 0.5, draw(5, 1, 10.0)
    torch.testing.assert_close(loss(scale * student + shift, teacher, 2.0), loss(student, teacher, 2.0))
    assert abs(float(loss(student.square(), teacher, 2.0) - loss(student, teacher, 2.0))) > 1e-3


def test_the_teachers_scale_changes_normkds_weight_alone() -> None:
    student, teacher = draw(5, 7), draw(5, 7, seed=1)
    for loss, factor in [(lskd_loss, 1.0), (adat, 1.0), (normkd_loss, 9.0)]:
        torch.testing.assert_close(loss(student, 3 * teacher - 5, 2.0), factor * loss(student, teacher, 2.0))


@pytest.mark.parametrize("loss", OF_ROWS)
def test_losses_of_standardised_rows_are_zero_for_scaled_and_shifted_copies(loss: Loss) -> None:
    teacher = draw(5, 7)
    assert loss(0.3 * teacher + 4.0, teacher, 2.0).item() == pytest.approx(0.0, abs=1e-6)
    assert loss(teacher, teacher, 2.0).item() == 0


def test_normkds_targets_are_lskds_and_only_the_weight_differs() -> None:
    student, teacher = draw(6, 5, 3.0), draw(6, 5, 2.0, seed=1)
    batch = batch_of(student, teacher)
    shown = [method.arrays(batch, None)["temperature"] for method in (NormKD(), LSKD())]
    torch.testing.assert_close(*shown)
    as_written = (teacher / (2.0 * teacher.std(1, keepdim=True))).softmax(1)
    torch.testing.assert_close((standardised(teacher) / 2.0).softmax(1), as_written)
    torch.testing.assert_close((teacher / shown[0][:, None]).softmax(1), as_written)
    for row in range(6):
        one = slice(row, row + 1)
        factor = (teacher[row].std() * 2.0) ** 2 / 2.0**2
        torch.testing.assert_close(
            normkd_loss(student[one], teacher[one], 2.0), factor * lskd_loss(student[one], teacher[one], 2.0)
        )


def test_adaptive_temperature_that_is_constant_is_logit_standardisation() -> None:
    student, teacher = draw(6, 5), draw(6, 5, seed=1)
    torch.testing.assert_close(adat_loss(student, teacher, torch.full((6,), 2.0)), lskd_loss(student, teacher, 2.0))


def test_adaptive_temperature_is_bounded_and_blind_to_shift_and_scale() -> None:
    teacher = draw(50, 10)
    least, most = 1 / math.sqrt(10), 9 / math.sqrt(10)
    found = largest_standardised(teacher)
    assert ((found >= least) & (found <= most)).all()
    torch.testing.assert_close(largest_standardised(7 * teacher - 3), found)
    assert largest_standardised(torch.eye(10)).tolist() == pytest.approx([most] * 10, rel=1e-5)
    assert largest_standardised(-torch.eye(10)).tolist() == pytest.approx([least] * 10, rel=1e-5)
    assert largest_standardised(torch.ones(1, 10)).item() == pytest.approx(least)


def test_adaptive_temperature_follows_one_minus_the_correlation_when_high() -> None:
    """The leading term of T^2 KL of standardised rows is (C - 1) / C * (1 - correlation)."""
    student, teacher = draw(1, 20), draw(1, 20, seed=1)
    correlation = float(np.corrcoef(student[0].numpy(), teacher[0].numpy())[0, 1])
    found = adat_loss(student, teacher, torch.tensor([100.0])).item()
    assert found == pytest.approx(19 / 20 * (1 - correlation), rel=0.05)
    assert AdaT().metrics(batch_of(student, teacher), None)["correlation"].item() == pytest.approx(
        correlation, abs=1e-5
    )


def test_columns_have_mean_zero_and_one_variance() -> None:
    found = column_standardised(draw(8, 5, 3.0) + 10)
    torch.testing.assert_close(found.mean(0), torch.zeros(5), atol=1e-5, rtol=0)
    torch.testing.assert_close(found.square().mean(0), torch.ones(5), atol=1e-4, rtol=0)
    by_hand = column_standardised(torch.tensor([[1.0, 0.0], [3.0, 0.0]]))
    torch.testing.assert_close(by_hand, torch.tensor([[-1.0, 0.0], [1.0, 0.0]]), atol=1e-5, rtol=0)


def test_luminet_does_not_see_each_classs_shift_and_scale() -> None:
    student, teacher = draw(6, 5), draw(6, 5, seed=1)
    scale, shift = torch.rand(5) + 1, draw(1, 5, 10.0)[0]
    torch.testing.assert_close(
        luminet_loss(scale * student + shift, teacher, 4.0), luminet_loss(student, teacher, 4.0), rtol=1e-4, atol=1e-6
    )
    assert luminet_loss(scale * teacher + shift, teacher, 4.0).item() == pytest.approx(0.0, abs=1e-7)
    assert lskd_loss(scale * teacher + shift, teacher, 4.0).item() > 1e-2  # whose rows are standardised instead


def test_luminet_depends_on_the_batch_and_a_row_alone_teaches_nothing() -> None:
    student, teacher = draw(6, 5), draw(6, 5, seed=1)
    halves = [luminet_loss(student[rows], teacher[rows], 4.0) for rows in (slice(3), slice(3, 6))]
    assert abs(float(sum(halves) / 2 - luminet_loss(student, teacher, 4.0))) > 1e-3
    assert luminet_loss(student[:1], teacher[:1], 4.0).item() == 0


def test_weights_count_rows() -> None:
    teacher, student = draw(2, 3), draw(2, 3, seed=1)
    first = weighted_kl(teacher, student, torch.tensor([2.0, 0.0]))
    torch.testing.assert_close(first, weighted_kl(teacher[:1], student[:1], 1.0))


def batch_of(student: Tensor, teacher: Tensor) -> Batch:
    """A batch in the middle of a run with these logits."""
    batch = situation(LSKD(), len(student), student.shape[1]).batch
    return batch._replace(student=Outputs(student, ()), teacher=Outputs(teacher, ()))


def test_weights_are_the_knobs() -> None:
    batch = batch_of(draw(6, 4), draw(6, 4, seed=1))
    for method in (LSKD(), AdaT()):
        assert [term.weight for term in method.terms(batch, None).values()] == [0.1, 9.0]
    assert [term.weight for term in NormKD(kd_weight=2.0).terms(batch, None).values()] == [0.1, 2.0]
    for progress, share in [(0.0, 0.0), (0.1, 0.5), (0.5, 1.0)]:
        terms = LumiNet(alpha=3.0, warmup=0.2).terms(batch._replace(progress=progress), None)
        assert [term.weight for term in terms.values()] == [2.0, 9.0 * share]
    for kind, loss in [(LSKD, lskd_loss), (NormKD, normkd_loss), (LumiNet, luminet_loss)]:
        method = kind(temperature=3.0)
        expected = loss(batch.student.logits, batch.teacher.logits, 3.0)
        assert torch.equal(method.terms(batch, None)["kd"].value, expected)


def test_what_is_shown_of_the_teacher() -> None:
    student, teacher = draw(6, 4), draw(6, 4, 5.0, seed=1)
    batch = batch_of(student, teacher)
    torch.testing.assert_close(
        AdaT().metrics(batch, None)["standardised_temperature"], largest_standardised(teacher).mean()
    )
    torch.testing.assert_close(LSKD().metrics(batch, None)["student_std"], student.std(1).mean())
    torch.testing.assert_close(NormKD().metrics(batch, None)["teacher_temperature"], 2 * teacher.std(1).mean())


@pytest.mark.parametrize("method", [LSKD(temperature=3.0), NormKD(temperature=3.0), AdaT()])
def test_a_teacher_at_the_temperature_shown_is_what_the_student_imitates(method: Method) -> None:
    teacher = draw(6, 4, 5.0, seed=1)
    shown = method.arrays(batch_of(draw(6, 4), teacher), None)["temperature"]
    within = largest_standardised(teacher) if isinstance(method, AdaT) else torch.full((6,), 3.0)
    imitated = (standardised(teacher) / within[:, None]).softmax(1)
    torch.testing.assert_close((teacher / shown[:, None]).softmax(1), imitated)


def test_standardised_decoupled_distillation_does_not_see_shift_and_scale() -> None:
    student, teacher = draw(6, 5), draw(6, 5, seed=1)
    batch, moved = batch_of(student, teacher), batch_of(4 * student + 3, 0.5 * teacher - 2)
    for key in ("tckd", "nckd"):
        blind, seeing = (
            [DKD(standardise=standardise).terms(one, None)[key].value for one in (batch, moved)]
            for standardise in (True, False)
        )
        torch.testing.assert_close(*blind)
        assert abs(float(seeing[0] - seeing[1])) > 1e-3
