"""Where the models look: against our own Grad-CAM, the definition of CAM, and a slow sum of integrated gradients."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from pair_factory import MLP, MOONS, pair

from kdcore.comparison.tasks import maps
from kdcore.comparison.tasks.pair import ComparedModel, ComparedPair
from kdcore.errors import BadInput
from kdcore.nn.representations import attention


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> ComparedPair:
    return pair(tmp_path_factory.mktemp("digits"))


def models(digits: ComparedPair) -> list[ComparedModel]:
    assert digits.teacher
    return [digits.student, digits.teacher]


@pytest.mark.parametrize("place", [0, 3, 9])
def test_grad_cam_is_the_map_that_training_records(digits: ComparedPair, place: int) -> None:
    x = digits.row(4).float()
    for model in models(digits):
        look = maps.lookup(model, x)
        assert look
        assert model.net
        expected = attention(model.net, model.inputs(x), torch.tensor([place]))
        assert expected is not None
        found = maps.grad_cam(model, look, x, place)
        assert found.numpy() == pytest.approx(expected[0].numpy(), abs=1e-6)


def test_cam_is_what_each_place_adds_to_the_logit(digits: ComparedPair) -> None:
    x = digits.row(7).float()
    for model in models(digits):
        look = maps.lookup(model, x)
        assert model.net
        linear = model.net.head[-1]
        found, lacks = maps.cam(model, look, 3)
        assert lacks == ""
        mean = float(np.mean(found)) + float(linear.bias[3])
        assert mean == pytest.approx(float(model.logits(x)[0, 3]), abs=1e-4)
        assert look
        cut = np.maximum(np.array(found), 0) / np.size(found)
        assert maps.grad_cam(model, look, x, 3).numpy() == pytest.approx(cut, abs=1e-5)


def test_a_head_that_does_more_than_pool_and_weigh_has_no_cam(digits: ComparedPair, tmp_path: Path) -> None:
    one = pair(tmp_path, teacher=None).student
    assert one.net
    one.net.head = torch.nn.Sequential(torch.nn.AdaptiveMaxPool2d(1), torch.nn.Flatten(), one.net.head[-1])
    x = digits.row(0).float()
    found, said = maps.cam(one, maps.lookup(one, x), 0)
    assert found is None
    assert "more than average pooling" in said


@pytest.mark.parametrize("start", ["black", "mean"])
def test_integrated_gradients_are_a_slow_sum_and_complete(digits: ComparedPair, start: str) -> None:
    x, begin, place = digits.row(2).float(), maps.baseline(digits, start), 5
    for model in models(digits):
        found, left = maps.integrated(model, x, begin, place)
        wanted = slow(model, x, begin, place)
        assert np.abs(found.numpy() - wanted).sum() < 0.05 * np.abs(wanted).sum()  # kinks
        rise = float(model.logits(x)[0, place] - model.logits(begin)[0, place])
        assert left == pytest.approx(float(found.sum()) - rise, abs=1e-4)
        assert abs(left) < 0.05 * float(found.abs().sum())


def slow(model: ComparedModel, x: torch.Tensor, begin: torch.Tensor, place: int, points: int = 400) -> np.ndarray:
    """The definition, by the midpoint rule."""
    total = torch.zeros_like(x)
    for k in range(points):
        here = (begin + (k + 0.5) / points * (x - begin)).requires_grad_()
        (slope,) = torch.autograd.grad(model.through(here).logits[0, place], here)
        total += slope / points
    return ((x - begin) * total).numpy()


def test_the_mean_baseline_is_that_of_the_training_rows(digits: ComparedPair) -> None:
    black, mean = maps.baseline(digits, "black"), maps.baseline(digits, "mean")
    assert (float(black.max()), black.shape) == (0.0, (1, *digits.shape))
    assert float(mean.mean()) == pytest.approx(float(digits.train_x.float().mean()), rel=0.05)
    with pytest.raises(BadInput, match="one of black, mean"):
        maps.baseline(digits, "white")


def test_the_answer_is_plain_and_of_one_class_for_both(digits: ComparedPair) -> None:
    told = maps.answer(digits, {"row": 1, "of": 2})
    assert told["image"] == digits.row(1)[0].tolist()
    for name, model in (("teacher", digits.teacher), ("student", digits.student)):
        assert model
        assert told[name]["logit"] == pytest.approx(float(model.logits(digits.row(1))[0, 2]))
        assert np.shape(told[name]["cam"]) == np.shape(told[name]["grad_cam"]) == (2, 2)
        assert np.shape(told[name]["integrated"]) == digits.shape
    with pytest.raises(BadInput, match="numbered 0 to 9, but got 10"):
        maps.answer(digits, {"row": 1, "of": 10})
    with pytest.raises(BadInput, match="Rows are numbered"):
        maps.answer(digits, {"row": 10**6, "of": 1})


def test_vectors_have_no_map_and_points_still_have_shares(tmp_path: Path) -> None:
    flat = pair(tmp_path / "a", student=MLP, teacher=None)
    told = maps.answer(flat, {"row": 0, "of": 0})["student"]
    assert (told["grad_cam"], told["cam"]) == (None, None)
    assert "no map" in told["no_cam"]
    moons = pair(tmp_path / "b", student=MLP, teacher=MLP, data=MOONS)
    told = maps.answer(moons, {"row": 0, "of": 1})
    assert told["baseline"] == pytest.approx(moons.train_x.mean(0).tolist(), abs=1e-5)
    side = told["student"]
    assert "grad_cam" not in side
    assert sum(side["integrated"]) - side["left"] == pytest.approx(side["logit"] - side["from"], abs=1e-4)


def test_who_only_answers_is_not_looked_into(digits: ComparedPair) -> None:
    model = object.__new__(ComparedModel)
    model.net, model.title = None, "somebody"
    found = maps.looked(model, digits.row(0).float(), digits.row(1).float(), 0)
    assert found == {"lacks": "somebody is a black box; its features and gradients are not available."}
