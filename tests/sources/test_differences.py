"""Forward differences: right on the mean for a linear loss, as near to the gradient as theory says, and counted."""

import math

import pytest
import torch
from makers import scene
from torch import Tensor

from kdcore.sources._differences import forward_differences, unit_directions

torch.set_num_threads(1)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def linear(slope: Tensor):  # type: ignore[no-untyped-def]
    """The loss <slope, x> of points (N, ...)."""
    return lambda points: (points * slope).flatten(1).sum(1)


def directions(count: int, batch: int, values: int, place: int = 0) -> Tensor:
    return unit_directions(scene()[0], count, torch.Size((batch, values)), place, 99)


def test_directions_have_length_one_and_no_preference() -> None:
    found = directions(200, 20, 6)
    assert torch.allclose(found.norm(dim=2), torch.ones(200, 20), atol=1e-6)
    assert found.mean((0, 1)).abs().max() < 0.03
    assert torch.allclose(found.square().mean((0, 1)), torch.full((6,), 1 / 6), atol=0.01)
    assert torch.equal(found, directions(200, 20, 6))
    assert not torch.equal(found, directions(200, 20, 6, place=1))


@pytest.mark.parametrize("reach", [1e-3, 0.1])
def test_the_estimate_is_the_formula(reach: float) -> None:
    """(d/m) sum over i of (l(x + mu u_i) - l(x)) / mu * u_i, image by image, number by number."""
    points, probes, d, m = draw(3, 5, seed=1).double(), directions(4, 3, 5).double(), 5, 4
    losses = lambda x: (x.square() * torch.arange(1.0, 6.0)).sum(1).sin()  # noqa: E731
    found = forward_differences(losses, points, probes, reach)
    for image in range(3):
        slow = [0.0] * d
        for i in range(m):
            moved = points[image] + reach * probes[i, image]
            slope = (float(losses(moved[None])) - float(losses(points[image][None]))) / reach
            slow = [sum_ + d / m * slope * float(probes[i, image, k]) for k, sum_ in enumerate(slow)]
        assert found[image].tolist() == pytest.approx(slow, rel=1e-6)


def test_the_mean_over_directions_is_the_gradient_of_a_linear_loss() -> None:
    slope = draw(8, seed=2).double()
    probes = directions(40_000, 1, 8).double()
    found = forward_differences(linear(slope), torch.zeros(1, 8, dtype=torch.double), probes, 0.1)
    assert torch.allclose(found[0], slope, atol=0.06)


@pytest.mark.parametrize(("values", "count", "expected"), [(1024, 100, 0.30), (64, 100, 0.79), (64, 10, 0.37)])
def test_the_cosine_to_the_gradient_is_that_of_theory(values: int, count: int, expected: float) -> None:
    slope = draw(values, seed=3)
    found = forward_differences(linear(slope), torch.zeros(30, values), directions(count, 30, values), 0.1)
    cosine = torch.cosine_similarity(found, slope.expand(30, -1), dim=1).mean()
    assert float(cosine) == pytest.approx(expected, abs=0.03)
    assert math.sqrt(count / (count + values)) == pytest.approx(expected, abs=0.02)


def test_each_point_costs_one_value_more_than_it_has_directions_however_they_are_asked() -> None:
    counts: list[int] = []

    def losses(points: Tensor) -> Tensor:
        counts.append(len(points))
        return points.flatten(1).sum(1)

    forward_differences(losses, torch.zeros(7, 1, 2, 2), draw(900, 7, 1, 2, 2), 0.1)
    assert sum(counts) == 7 * 901
    assert max(counts) <= 4096
    assert not any(count % 7 for count in counts)
