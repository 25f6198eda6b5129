"""Distances of samples against known values and slow references."""

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from scipy.stats import wasserstein_distance

from kdcore.engine.sample_metrics import FixedFeatures, frechet, sliced_wasserstein


def normal(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.double)


def test_equal_samples_in_any_order_have_no_distance() -> None:
    x = normal(0, 200, 7)
    assert sliced_wasserstein(x, x.flip(0)) == pytest.approx(0, abs=1e-12)


def test_in_one_dimension_it_is_the_shift_and_scipy_s() -> None:
    x, y = normal(1, 300, 1), 2 * normal(2, 300, 1)
    assert sliced_wasserstein(x, x + 0.7) == pytest.approx(0.7)
    assert sliced_wasserstein(x, y) == pytest.approx(wasserstein_distance(x[:, 0].numpy(), y[:, 0].numpy()))


def test_a_shift_in_a_plane_counts_two_over_pi_of_its_length() -> None:
    x = normal(3, 50, 2)
    assert sliced_wasserstein(x, x + torch.tensor([3.0, 4.0])) == pytest.approx(5 * 2 / np.pi, rel=0.1)


def test_frechet_of_a_sample_with_itself_is_nothing_and_of_a_shifted_one_the_square() -> None:
    x = normal(4, 300, 5)
    assert frechet(x, x) == pytest.approx(0, abs=1e-9)
    assert frechet(x, x + 2) == pytest.approx(5 * 4)


@pytest.mark.parametrize("rows", [4, 200])  # fewer than dimensions, and many
def test_frechet_is_the_formula_with_a_matrix_root(rows: int) -> None:
    x, y = normal(5, rows, 6), normal(6, rows, 6) @ normal(7, 6, 6)
    s_x, s_y = np.cov(x.numpy().T), np.cov(y.numpy().T)
    gap = np.square(x.numpy().mean(0) - y.numpy().mean(0)).sum()
    expected = gap + np.trace(s_x + s_y - 2 * sqrtm(s_x @ s_y).real)
    assert frechet(x, y) == pytest.approx(expected, rel=1e-4)


def test_the_fixed_network_is_the_same_every_time_and_draws_nothing() -> None:
    chance = torch.random.get_rng_state()
    images = normal(8, 3, 1, 8, 8).float()
    first, second = FixedFeatures(1)(images), FixedFeatures(1)(images)
    assert torch.equal(first, second)
    assert first.shape == (3, 64)
    assert torch.equal(torch.random.get_rng_state(), chance)
