"""Each loss against a slow float64 loop of its equation, on ordinary and extreme input, and identities they keep."""

import math
from itertools import product

import numpy as np
import pytest
import torch
from slow import draw
from torch import Tensor

from kdcore.methods.dkd import decoupled, dkd_losses
from kdcore.methods.fitnet import hint_loss
from kdcore.methods.hard_label import hard_label_loss
from kdcore.methods.label_smoothing import uniform_cross_entropy
from kdcore.methods.rkd import angle_loss, angles, distance_loss, relative_distances
from kdcore.nn.losses import cross_entropy, halving, kd_loss, kl, log_probs

torch.set_num_threads(1)
SCALES = [0.0, 1.0, 30.0, 1e4]


def softmax_log(row: np.ndarray) -> np.ndarray:
    """Log-probabilities of one row in float64."""
    shifted = row - row.max()
    return shifted - math.log(np.exp(shifted).sum())


def slow_kl(log_p: np.ndarray, log_q: np.ndarray) -> float:
    return float(sum(math.exp(a) * (a - b) for a, b in zip(log_p, log_q, strict=True) if math.exp(a) > 0))


def slow_kd(student: Tensor, teacher: Tensor, temperature: float) -> float:
    pairs = zip(teacher.double().numpy(), student.double().numpy(), strict=True)
    values = [slow_kl(softmax_log(t / temperature), softmax_log(s / temperature)) for t, s in pairs]
    return temperature**2 * sum(values) / len(values)


def slow_dkd(student: Tensor, teacher: Tensor, targets: Tensor, temperature: float) -> tuple[float, float]:
    tckd, nckd = [], []
    for t, s, y in zip(teacher.double().numpy(), student.double().numpy(), targets.tolist(), strict=True):
        log_p, log_q = softmax_log(t / temperature), softmax_log(s / temperature)
        rest_p, rest_q = (np.logaddexp.reduce(np.delete(log, y)) for log in (log_p, log_q))
        tckd.append(slow_kl(np.array([log_p[y], rest_p]), np.array([log_q[y], rest_q])))
        others = (softmax_log(np.delete(z / temperature, y)) for z in (t, s))
        nckd.append(slow_kl(*others))
    return temperature**2 * sum(tckd) / len(tckd), temperature**2 * sum(nckd) / len(nckd)


def slow_huber(a: float, b: float) -> float:
    gap = abs(a - b)
    return 0.5 * gap**2 if gap < 1 else gap - 0.5


def slow_distances(features: np.ndarray) -> np.ndarray:
    rows = range(len(features))
    found = np.array([[math.sqrt(((features[i] - features[j]) ** 2).sum()) for j in rows] for i in rows])
    return found / (found.sum() / (len(rows) * (len(rows) - 1))) if (found > 0).any() else found


def slow_cosine(at: np.ndarray, one: np.ndarray, other: np.ndarray) -> float:
    lengths = [float(np.linalg.norm(end - at)) for end in (one, other)]
    return float((one - at) @ (other - at)) / (lengths[0] * lengths[1]) if all(lengths) else 0.0


@pytest.mark.parametrize("scale", SCALES)
def test_cross_entropy_is_the_mean_over_labelled_rows(scale: float) -> None:
    logits, labels = draw(6, 4, scale), torch.tensor([0, -1, 3, 2, -1, 1])
    rows = [(row, y) for row, y in zip(logits.double().numpy(), labels.tolist(), strict=True) if y >= 0]
    expected = -sum(softmax_log(row)[y] for row, y in rows) / len(rows)
    assert cross_entropy(logits, labels).item() == pytest.approx(expected, rel=1e-5)


def test_cross_entropy_of_nothing_is_zero_and_pulls_nowhere() -> None:
    logits = draw(3, 4).requires_grad_()
    loss = cross_entropy(logits, torch.full((3,), -1))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(logits.grad, torch.zeros(3, 4))


def test_cross_entropy_says_when_the_student_has_diverged() -> None:
    assert cross_entropy(torch.full((2, 3), math.nan), torch.tensor([0, -1])).isnan()


@pytest.mark.parametrize(("scale", "temperature"), list(product(SCALES, [0.1, 1.0, 4.0, 100.0])))
def test_kd_is_the_slow_loop(scale: float, temperature: float) -> None:
    student, teacher = draw(5, 7, scale), draw(5, 7, scale, seed=1)
    expected = slow_kd(student, teacher, temperature)
    rounding = 2e-7 * temperature**2  # of float32 log-probabilities, which T^2 magnifies
    assert kd_loss(student, teacher, temperature).item() == pytest.approx(expected, rel=1e-5, abs=rounding + 1e-5)


@pytest.mark.parametrize(("scale", "temperature", "classes"), list(product(SCALES, [1.0, 4.0], [2, 3, 7])))
def test_dkd_is_the_slow_loop(scale: float, temperature: float, classes: int) -> None:
    student, teacher = draw(5, classes, scale), draw(5, classes, scale, seed=1)
    targets = torch.arange(5) % classes
    found = [value.item() for value in dkd_losses(student, teacher, targets, temperature)]
    assert found == pytest.approx(slow_dkd(student, teacher, targets, temperature), rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e4])
def test_rkd_is_the_slow_loop(scale: float) -> None:
    student, teacher = draw(5, 3, scale), draw(5, 6, seed=1)
    student[1] = student[0]  # two samples at the same place
    s, t = student.double().numpy(), teacher.double().numpy()
    ds, dt = slow_distances(s), slow_distances(t)
    expected = np.mean([slow_huber(a, b) for a, b in zip(ds.flat, dt.flat, strict=True)])
    assert distance_loss(student, teacher).item() == pytest.approx(expected, rel=1e-4)
    triples = list(product(range(5), repeat=3))
    cosines = [[slow_cosine(f[i], f[j], f[k]) for i, j, k in triples] for f in (s, t)]
    expected = np.mean([slow_huber(a, b) for a, b in zip(*cosines, strict=True)])
    assert angle_loss(student, teacher).item() == pytest.approx(expected, rel=1e-4)


def test_hint_by_hand() -> None:
    regressed, hint = draw(2, 12).reshape(2, 3, 2, 2), draw(2, 12, seed=1).reshape(2, 3, 2, 2)
    expected = float(((regressed.double() - hint.double()) ** 2).mean())
    assert hint_loss(regressed, hint).item() == pytest.approx(expected, rel=1e-5)
    averaged = hint.double().numpy().mean((2, 3))
    expected = float(((regressed[:, :, 0, 0].double().numpy() - averaged) ** 2).mean())
    assert hint_loss(regressed[:, :, 0, 0], hint).item() == pytest.approx(expected, rel=1e-5)
    assert hint_loss(hint, hint).item() == 0


def test_kd_by_hand() -> None:
    teacher, student = torch.tensor([[math.log(3.0), 0.0]]), torch.zeros(1, 2)  # p = (3/4, 1/4), q = (1/2, 1/2)
    assert kd_loss(student, teacher, 1.0).item() == pytest.approx(0.75 * math.log(1.5) + 0.25 * math.log(0.5))


def test_hard_labels_are_cross_entropy_where_the_teacher_is_right() -> None:
    student, labels = draw(4, 3), torch.tensor([0, 2, 1, 1])
    teacher = torch.nn.functional.one_hot(labels, 3) * 5.0
    assert hard_label_loss(student, teacher) == cross_entropy(student, labels)


def test_kd_gradient_is_temperature_times_the_gap() -> None:
    student, teacher, temperature = draw(5, 7).requires_grad_(), draw(5, 7, seed=1), 4.0
    kd_loss(student, teacher, temperature).backward()
    gap = (student / temperature).softmax(1) - (teacher / temperature).softmax(1)
    torch.testing.assert_close(student.grad, temperature * gap / 5)


def test_kd_at_high_temperature_is_centred_regression() -> None:
    student, teacher = draw(5, 7), draw(5, 7, seed=1)
    gap = (teacher - student).double()
    expected = ((gap - gap.mean(1, keepdim=True)) ** 2).sum(1).mean() / (2 * 7)
    assert kd_loss(student, teacher, 100.0).item() == pytest.approx(expected.item(), rel=0.05)


def test_kd_of_equal_logits_is_exactly_zero_and_pulls_nowhere() -> None:
    teacher = draw(5, 7, 10.0)
    student = teacher.clone().requires_grad_()
    loss = kd_loss(student, teacher, 4.0)
    loss.backward()
    assert loss.item() == 0
    torch.testing.assert_close(student.grad, torch.zeros(5, 7), atol=1e-7, rtol=0)


def test_log_probabilities_serve_as_logits() -> None:
    student, teacher = draw(5, 7), draw(5, 7, 3.0, seed=1)
    torch.testing.assert_close(kd_loss(student, log_probs(teacher), 4.0), kd_loss(student, teacher, 4.0))


def test_kl_is_target_part_plus_the_rest_weighted_by_its_share() -> None:
    student, teacher, targets = draw(6, 5, 2.0), draw(6, 5, 2.0, seed=1), torch.arange(6) % 5
    for row in range(6):
        one = slice(row, row + 1)
        tckd, nckd = dkd_losses(student[one], teacher[one], targets[one], 1.0)
        share = 1 - teacher[one].softmax(1)[0, targets[row]]
        whole = kl(log_probs(teacher[one]), log_probs(student[one]))
        torch.testing.assert_close(whole, tckd + share * nckd)


def test_decoupled_distributions_sum_to_one() -> None:
    is_target = torch.nn.functional.one_hot(torch.arange(4) % 3, 3).bool()
    binary, others = decoupled(log_probs(draw(4, 3, 5.0)), is_target)
    torch.testing.assert_close(binary.exp().sum(1), torch.ones(4))
    torch.testing.assert_close(others.exp().masked_fill(is_target, 0).sum(1), torch.ones(4))


def test_label_smoothing_is_torchs_and_a_uniform_teachers() -> None:
    student, labels, epsilon = draw(5, 7), torch.arange(5), 0.3
    ours = (1 - epsilon) * cross_entropy(student, labels) + epsilon * uniform_cross_entropy(student)
    torchs = torch.nn.functional.cross_entropy(student, labels, label_smoothing=epsilon)
    torch.testing.assert_close(ours, torchs)
    divergence = kl(log_probs(torch.zeros(5, 7)), log_probs(student))  # H(u, q) = KL(u || q) + log C
    torch.testing.assert_close(uniform_cross_entropy(student), divergence + math.log(7))


def test_rkd_sees_no_movement_rotation_mirroring_or_scale() -> None:
    teacher = draw(6, 4)
    turn = torch.linalg.qr(draw(4, 4, seed=2))[0]
    student = 3.0 * teacher @ turn + 5.0
    assert distance_loss(student, teacher).item() < 1e-9
    assert angle_loss(student, teacher).item() < 1e-9
    assert distance_loss(student.square(), teacher).item() > 1e-3


def test_rkd_of_a_collapsed_student_is_finite_and_pulls_nowhere() -> None:
    student = torch.ones(4, 3, requires_grad=True)
    loss = distance_loss(student, draw(4, 3)) + angle_loss(student, draw(4, 3))
    loss.backward()
    assert loss.isfinite()
    assert torch.equal(student.grad, torch.zeros(4, 3))
    assert torch.equal(relative_distances(student), torch.zeros(4, 4))


def test_rkd_counts_rows_at_the_same_place_in_the_mean() -> None:
    """Of three pairs at 0, 3 and 3 the mean is 2, and not 3: the released code counts what is nearly 0, too."""
    found = relative_distances(torch.tensor([[0.0], [0.0], [3.0]]))
    torch.testing.assert_close(found, torch.tensor([[0.0, 0.0, 1.5], [0.0, 0.0, 1.5], [1.5, 1.5, 0.0]]))


def test_angles_of_an_equilateral_triangle() -> None:
    corners = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.5, math.sqrt(3) / 2]])
    assert angles(corners)[0, 1, 2].item() == pytest.approx(0.5)
    torch.testing.assert_close(relative_distances(corners), 1 - torch.eye(3))


def test_halving_by_hand() -> None:
    assert halving([torch.tensor(8.0), torch.tensor(4.0), torch.tensor(1.0)]).item() == 8 / 4 + 4 / 2 + 1
