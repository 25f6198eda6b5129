"""Propagation over a graph against its closed form, a loop and the runs that use it."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from small_run import DIGITS, SCHEDULE, TEACHER, WATCH, Weights, parts, run
from torch import Tensor, nn

from kdcore.contracts.net import Net
from kdcore.engine.test_time_adaptation import adapted, graph, propagated
from kdcore.events import Finished
from kdcore.spec.spec import Choice, Spec, Wall


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def slow_graph(features: list[list[float]], neighbours: int, spread: float) -> np.ndarray:
    """The normalised graph, entry by entry."""
    count = len(features)

    def cosine(i: int, j: int) -> float:
        a, b = features[i], features[j]
        return sum(p * q for p, q in zip(a, b, strict=True)) / (math.hypot(*a) * math.hypot(*b))

    near = [sorted((j for j in range(count) if j != i), key=lambda j: -cosine(i, j))[:neighbours] for i in range(count)]
    links = np.zeros((count, count))
    for i in range(count):
        for j in range(count):
            if j in near[i] or i in near[j]:
                links[i, j] = math.exp(cosine(i, j) / spread)
    degree = links.sum(1)
    for i in range(count):
        for j in range(count):
            links[i, j] /= math.sqrt(degree[i] * degree[j])
    return links


@pytest.mark.parametrize(("rows", "neighbours", "spread"), [(9, 3, 0.1), (6, 5, 1.0), (5, 1, 0.3), (4, 10, 0.5)])
def test_the_graph_is_that_of_a_loop(rows: int, neighbours: int, spread: float) -> None:
    features = draw(rows, 4, seed=rows)
    slow = slow_graph(features.tolist(), min(neighbours, rows - 1), spread)
    np.testing.assert_allclose(graph(features, neighbours, spread).numpy(), slow, rtol=1e-4, atol=1e-9)


def test_two_images_have_a_closed_form() -> None:
    """M = ((0, 1), (1, 0)), so P* = (1 - a) / (1 - a^2) ((1, a), (a, 1)) P = ((1, a), (a, 1)) P / (1 + a)."""
    p = torch.tensor([[0.9, 0.1], [0.2, 0.8]])
    found = propagated(graph(draw(2, 3)), p, 0.5)
    expected = torch.tensor([[1.0, 0.5], [0.5, 1.0]]) @ p / 1.5
    torch.testing.assert_close(found.float(), expected)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_it_is_the_sum_of_all_walks_and_nowhere_negative(share: float) -> None:
    links, p = graph(draw(20, 5)), draw(20, 3, seed=1).softmax(1).double()
    walked, sum_of_walks = p.clone(), torch.zeros_like(p)
    for step in range(600):
        sum_of_walks += (1 - share) * share**step * walked
        walked = links @ walked
    found = propagated(links, p, share)
    torch.testing.assert_close(found, sum_of_walks)
    assert (found >= 0).all()


def test_without_neighbours_every_answer_stays() -> None:
    p = draw(7, 4).softmax(1)
    torch.testing.assert_close(propagated(graph(draw(7, 2, seed=1)), p, 0.0).float(), p)


def test_one_image_alone_keeps_its_answer() -> None:
    p = draw(1, 4).softmax(1)
    assert propagated(graph(draw(1, 2)), p, 0.5).argmax() == p.argmax()


def test_an_image_among_others_that_disagree_is_outvoted() -> None:
    features = torch.tensor([[1.0, 0.01 * place] for place in range(6)] + [[0.01 * place, 1.0] for place in range(6)])
    logits = torch.tensor([[2.0, 0.0]] * 6 + [[0.0, 2.0]] * 6)
    logits[2] = torch.tensor([0.0, 0.5])
    both = torch.cat((features, logits / 100), 1)  # what the head reads is a small part of the feature
    head = nn.Linear(4, 2, bias=False)
    head.weight.data = torch.tensor([[0.0, 0.0, 100.0, 0.0], [0.0, 0.0, 0.0, 100.0]])
    net = Net([nn.Identity()], head).eval()
    assert logits.argmax(1)[2] == 1
    assert adapted(net, both, lambda x: x, 0.8).tolist() == [0] * 6 + [1] * 6
    assert adapted(net, both, lambda x: x, 0.0).tolist() == logits.argmax(1).tolist()


def test_a_run_behind_a_wall_tells_it_and_no_weight_changes(weights: Weights, tmp_path: Path) -> None:
    spec = Spec(
        data=DIGITS, student=Choice(name="cnn", knobs={"width": 4}), method=Choice(name="kd"), teacher=TEACHER,
        access="probabilities", wall=Wall(), schedule=SCHEDULE, watch=WATCH,
    )  # fmt: skip
    end = list(run(spec, tmp_path, weights))[-1]
    assert isinstance(end, Finished)
    assert 0 <= end.result["adapted_accuracy"] <= 1
    for change in ({"wall": None}, {"watch": {**WATCH.model_dump(), "adapt": 0.0}}):
        other = Spec.model_validate(spec.model_dump(mode="json") | change)
        plain = list(run(other, tmp_path / "-".join(change), weights))[-1]
        assert isinstance(plain, Finished)
        assert "adapted_accuracy" not in plain.result
    made = parts(spec.model_copy(update={"wall": None}), weights)
    before = {key: value.clone() for key, value in made.student.state_dict().items()}
    adapted(made.student, made.x, made.normalise, 0.5)
    assert made.student.training
    assert all(torch.equal(value, before[key]) for key, value in made.student.state_dict().items())
