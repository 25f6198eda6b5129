"""Distances of samples against known values and slow references; planted copies are found, fresh images are not."""

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from scipy.stats import binomtest, wasserstein_distance

from kdcore.likeness import FixedFeatures, copies, frechet, sign_test, sliced_wasserstein


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


@pytest.mark.parametrize(("wins", "of"), [(0, 3), (3, 3), (9, 12), (40, 100)])
def test_tosses_of_a_coin_are_counted(wins: int, of: int) -> None:
    assert sign_test(wins, of) == pytest.approx(binomtest(wins, of, alternative="greater").pvalue)


def pixels(seed: int, count: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, 1, 6, 6), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def test_planted_copies_are_found_and_fresh_images_are_not() -> None:
    local, held, fresh = pixels(0, 200), pixels(1, 200), pixels(2, 100)
    planted = copies(torch.cat([local[:60], fresh[:40]]), local, held)
    assert planted.p < 1e-4
    assert planted.local[:60].abs().max() < 1e-3
    assert copies(fresh, local, held).p > 0.01
    assert copies(held[:60], local, held).p > 0.01


def test_distances_are_of_the_nearest_as_a_share_of_the_range() -> None:
    made = torch.full((1, 1, 2, 2), 51, dtype=torch.uint8)
    local, held = torch.zeros(2, 1, 2, 2, dtype=torch.uint8), torch.full((2, 1, 2, 2), 255, dtype=torch.uint8)
    found = copies(made, local, held)
    assert (found.local.item(), found.held.item()) == (pytest.approx(0.2), pytest.approx(0.8))
    assert (found.nearest, found.p) == ((1, 0), 0.5)


def test_many_images_around_one_real_image_count_once() -> None:
    local, held = pixels(0, 200), pixels(1, 200)
    assert copies(local[:1].repeat(100, 1, 1, 1), local, held).p == 0.5
