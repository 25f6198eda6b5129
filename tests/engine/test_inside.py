"""Layer similarity (CKA) and maps of attention against slow references, and that looking changes nothing."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from kdcore.contracts.data import Dataset, Split
from kdcore.contracts.net import Net
from kdcore.engine.measure import MAP_ROWS, Probe, answers
from kdcore.nn.representations import attention, debiased_grams, unit_grams


def linear_cka(x: np.ndarray, y: np.ndarray) -> float:
    """The definition, on features rather than on Gram matrices."""
    x, y = x - x.mean(0), y - y.mean(0)
    cross, own_x, own_y = (np.linalg.norm(left.T @ right) for left, right in ((y, x), (x, x), (y, y)))
    return float(cross**2 / (own_x * own_y))


@given(st.integers(0, 1000), st.integers(2, 30), st.integers(1, 12), st.integers(1, 12))
def test_products_of_grams_are_linear_cka(seed: int, rows: int, wide: int, narrow: int) -> None:
    random = np.random.default_rng(seed)
    x, y = random.normal(size=(rows, wide)) * 5 + 3, random.normal(size=(rows, narrow))
    left, right = (unit_grams([torch.from_numpy(one)]) for one in (x, y))
    assert (left @ right.T).item() == pytest.approx(linear_cka(x, y), abs=1e-9)


def test_turning_and_scaling_a_feature_changes_no_likeness() -> None:
    x = torch.randn(40, 6, dtype=torch.float64)
    turn = torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64))[0]
    grams = unit_grams([x, 7 * x @ turn + 2])
    assert (grams @ grams.T).numpy() == pytest.approx(np.ones((2, 2)))


def unbiased_hsic(x: np.ndarray, y: np.ndarray) -> float:
    """Song et al. 2012, equation 5, term by term."""
    n = len(x)
    k, m = x @ x.T, y @ y.T
    pairs = [(i, j) for i in range(n) for j in range(n) if i != j]
    first = sum(k[i, j] * m[i, j] for i, j in pairs)
    sums = sum(k[i, j] for i, j in pairs) * sum(m[i, j] for i, j in pairs) / ((n - 1) * (n - 2))
    mixed = sum(sum(k[i, j] for j in range(n) if j != i) * sum(m[i, j] for j in range(n) if j != i) for i in range(n))
    return float(first + sums - 2 / (n - 2) * mixed) / (n * (n - 3))


def debiased(x: np.ndarray, y: np.ndarray) -> float:
    grams = debiased_grams([torch.from_numpy(one) for one in (x, y)])
    return (grams[0] @ grams[1]).item()


@given(st.integers(0, 1000), st.integers(5, 12), st.integers(1, 6), st.integers(1, 6))
def test_debiased_likeness_is_the_ratio_of_unbiased_estimates(seed: int, rows: int, wide: int, narrow: int) -> None:
    random = np.random.default_rng(seed)
    x, y = random.normal(size=(rows, wide)) * 2 + 3, random.normal(size=(rows, narrow))
    expected = unbiased_hsic(x, y) / np.sqrt(unbiased_hsic(x, x) * unbiased_hsic(y, y))
    assert debiased(x, y) == pytest.approx(expected, abs=1e-4)


@given(st.integers(0, 1000), st.integers(5, 40), st.integers(2, 8), st.floats(0.01, 100))
def test_debiased_likeness_is_1_with_itself_turned_and_scaled(seed: int, rows: int, wide: int, scale: float) -> None:
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, wide))
    turn = np.linalg.qr(random.normal(size=(wide, wide)))[0]
    assert debiased(x, x) == pytest.approx(1.0, abs=1e-5)
    assert debiased(x, scale * x @ turn + 5) == pytest.approx(1.0, abs=1e-3)


def test_independent_features_are_alike_only_where_the_bias_is_kept() -> None:
    random = np.random.default_rng(0)
    draws = [(random.normal(size=(40, 80)), random.normal(size=(40, 80))) for _ in range(30)]
    found = np.array([debiased(x, y) for x, y in draws])
    assert abs(found.mean()) < 3 * found.std() / 30**0.5 + 1e-3
    assert np.mean([linear_cka(x, y) for x, y in draws]) > 0.5


def test_a_constant_stage_is_like_nothing_debiased_too() -> None:
    grams = debiased_grams([torch.ones(9, 3), torch.randn(9, 3)])
    assert (grams[0] @ grams[1]).abs().item() < 1e-6


def test_a_stage_that_answers_all_rows_alike_is_like_nothing() -> None:
    grams = unit_grams([torch.ones(5, 3), torch.randn(5, 3)])
    assert (grams @ grams.T).numpy() == pytest.approx(np.diag([0.0, 1.0]))


class Tiny(Net):
    """Two stages of maps with batch statistics, then a linear head over their mean."""

    def __init__(self) -> None:
        first = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU())
        second = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, stride=2), nn.ReLU())
        super().__init__([first, second], nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)))


def slow_maps(net: Net, x: Tensor, classes: Tensor) -> np.ndarray:
    """Behind a mean and a linear head the gradient is known: the class's weights over the number of positions."""
    with torch.no_grad():
        features = net.eval()(x).features[-1].double().numpy()
    weight = net.head[-1].weight.detach().double().numpy()
    found = np.zeros((len(x), *features.shape[2:]))
    for row, at in enumerate(classes.tolist()):
        for k in range(features.shape[1]):
            found[row] += weight[at, k] / features[0, 0].size * features[row, k]
    return np.maximum(found, 0)


def test_maps_are_grad_cam() -> None:
    torch.manual_seed(1)
    net, x, classes = Tiny(), torch.randn(6, 1, 8, 8), torch.tensor([0, 1, 2, 3, 4, 0])
    found = attention(net, x, classes)
    assert found is not None
    assert found.shape == (6, 4, 4)
    assert found.numpy() == pytest.approx(slow_maps(net, x, classes), abs=1e-6)
    assert found.sum() > 0


def test_a_frozen_network_has_maps_and_one_of_vectors_has_none() -> None:
    x, classes = torch.randn(2, 1, 8, 8), torch.zeros(2, dtype=torch.int64)
    assert attention(Tiny().requires_grad_(False), x, classes) is not None
    flat = Net([nn.Sequential(nn.Flatten(), nn.Linear(64, 8))], nn.Linear(8, 5))
    assert attention(flat, x, classes) is None


def rows(count: int) -> Split:
    random = np.random.default_rng(count)
    x = random.integers(256, size=(count, 1, 8, 8)).astype(np.uint8)
    return Split(x, random.integers(5, size=count))


def test_a_frame_holds_likeness_and_maps_and_changes_nothing() -> None:
    torch.manual_seed(0)
    student, teacher = Tiny(), Tiny().eval().requires_grad_(False)
    data = Dataset(rows(40), rows(30), rows(20), tuple("abcde"), (0.5,), (0.5,), rows(40).y)
    probe = Probe(data, student, teacher, lambda x: x / 255, torch.device("cpu"))
    before = {name: value.clone() for name, value in student.state_dict().items()}
    chance = torch.random.get_rng_state()
    frame = probe.frame(3)
    assert frame["cka"].shape == (2, 2)
    assert frame["student_maps"].shape == probe.static["teacher_maps"].shape == (MAP_ROWS, 4, 4)
    assert frame["student_logits"] == pytest.approx(answers(student, probe.x, probe.normalise).numpy())
    assert torch.equal(torch.random.get_rng_state(), chance)
    assert student.training
    assert not teacher.training
    assert all(torch.equal(value, before[name]) for name, value in student.state_dict().items())
    assert all(weight.grad is None for weight in student.parameters())


def test_without_a_teacher_nothing_is_compared() -> None:
    data = Dataset(rows(40), rows(30), rows(20), tuple("abcde"), (0.5,), (0.5,), rows(40).y)
    assert not {"cka", "student_maps"} & set(Probe(data, Tiny(), None, lambda x: x / 255, torch.device("cpu")).frame(0))
