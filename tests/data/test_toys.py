"""The 2-D toys against the geometry they are named after, and a person's own points."""

import json
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from kdcore.data._toys import Toy
from kdcore.errors import BadInput
from kdcore.spec.registry import DATA

HERE = Path()
TOYS = [name for name in DATA if issubclass(DATA[name], Toy)]


def test_points_lie_on_their_shapes_without_noise() -> None:
    circles = DATA["circles"](noise=0.0, inner=0.4).load(HERE).train
    np.testing.assert_allclose(np.hypot(*circles.x.T), np.where(circles.y == 0, 0.6, 1.5), rtol=1e-5)
    xor = DATA["xor"](noise=0.0).load(HERE).train
    assert np.array_equal(xor.x.prod(1) > 0, xor.y == 0)
    moons = DATA["moons"](noise=0.0).load(HERE).train
    centre = 1.15 * np.where(moons.y == 0, -1.0, 1.0)[:, None] * np.array([0.5, 0.25])
    np.testing.assert_allclose(np.hypot(*(moons.x - centre).T), 1.15, rtol=1e-5)


@pytest.mark.parametrize("arms", range(2, 7))
def test_spiral_arms_are_turned_copies(arms: int) -> None:
    data = DATA["spirals"](noise=0.0, arms=arms, turns=1.5).load(HERE).train
    radius, angle = np.hypot(*data.x.T), np.arctan2(data.x[:, 1], data.x[:, 0])
    turns = angle / (2 * np.pi) - 1.5 * radius / 2.0 - data.y / arms
    np.testing.assert_allclose(turns, np.round(turns), atol=1e-5)
    assert len(DATA["spirals"](arms=arms).names()) == arms


@pytest.mark.parametrize("classes", [2, 8, 26])
def test_blobs_have_one_cloud_per_letter(classes: int) -> None:
    toy = DATA["blobs"](classes=classes, samples=5000, noise=0.2)
    data = toy.load(HERE)
    assert data.classes[-1] == chr(ord("A") + classes - 1)
    centres = DATA["blobs"](classes=classes, noise=0.0).shape(np.arange(classes), np.random.default_rng())
    gaps = np.linalg.norm(centres[:, None] - centres, axis=-1) + 9 * np.eye(classes)
    assert gaps.min() > 3 * toy.spread()
    spread = (data.train.x - centres[data.train.y]).std()
    assert spread == pytest.approx(toy.spread(), rel=0.05)


@pytest.mark.parametrize("name", TOYS)
def test_noise_moves_points_about_the_same_shape(name: str) -> None:
    calm, rough = (DATA[name](noise=noise).load(HERE).train for noise in (0.0, 0.4))
    assert np.array_equal(calm.y, rough.y)
    moved = (rough.x - calm.x) / DATA[name](noise=0.4).spread()
    assert np.abs(moved.mean(0)).max() < 0.15
    np.testing.assert_allclose(moved.std(0), 1.0, atol=0.1)


@pytest.mark.parametrize("name", TOYS)
def test_classes_are_balanced(name: str) -> None:
    data = DATA[name](samples=1040).load(HERE)
    assert np.ptp(np.bincount(data.test.y)) <= 1
    assert len(data.test.y) == len(data.train.y) + len(data.val.y) == 1040


CORNERS = [[10 * k + a, b, k] for k in range(2) for a in range(3) for b in range(2)]


def test_own_points_are_centred_scaled_and_all_used() -> None:
    data = DATA["points"](points=CORNERS).load(HERE)
    x = np.concatenate([data.train.x, data.val.x, data.test.x])
    np.testing.assert_allclose(x.mean(0), 0, atol=1e-6)
    assert x.std() == pytest.approx(1.0)
    assert [len(split.y) for split in (data.train, data.val, data.test)] == [8, 2, 2]
    assert data.classes == ("class 0", "class 1")


def test_own_points_survive_json() -> None:
    knobs = json.loads(DATA["points"](points=CORNERS).model_dump_json())
    assert DATA["points"](**knobs).signature() == ((2,), 2)


@pytest.mark.parametrize(
    ("points", "told"),
    [
        ([*CORNERS, [0, 0]], "point 13 is \\[0, 0\\]"),
        ([*CORNERS, "ab0"], "point 13 is 'ab0'"),
        ([*CORNERS, [0, "1", 0]], "point 13"),
        ([*CORNERS, [float("nan"), 0, 0]], "two finite numbers"),
        ([*CORNERS, [0, 1e300, 0]], "point 13"),
        ([*CORNERS, [0, 0, 0.5]], "point 13"),
        ([*CORNERS, [0, 0, -1]], "class from 0 to 25"),
        ([*CORNERS, [0, 0, 26]], "point 13"),
        ([*CORNERS, [0, 0, True]], "point 13"),
        ([], "at least two classes are needed, but got 0"),
        (CORNERS[:6], "at least two classes are needed, but got 1"),
        (CORNERS[:-1], "Class 'class 1' is too small: .* at least 6 .* it has 5"),
        ([*CORNERS, *([0, 0, 3] for _ in range(6))], "Class 'class 2' .* has 0"),
    ],
)
def test_points_that_cannot_be_used_are_told_in_one_sentence(points: list[object], told: str) -> None:
    with pytest.raises(BadInput, match=told) as caught:
        DATA["points"](points=points).load(HERE)
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ([7], "but one is 7"), ([""], "1 to 40 characters"), (["a" * 41], "1 to 40 characters"),
        (["a", "a"], "two are called 'a'"), (["class 1"], "two are called 'class 1'"),
    ],
)  # fmt: skip
def test_names_that_classes_cannot_have_are_told_in_one_sentence(names: list[object], told: str) -> None:
    with pytest.raises(BadInput, match=told):
        DATA["points"](points=CORNERS, names=names).signature()


def test_classes_are_called_as_they_are_named() -> None:
    for names, classes in (([], ("class 0", "class 1")), (["a"], ("a", "class 1")), (list("abc"), ("a", "b"))):
        assert DATA["points"](points=CORNERS, names=names).load(HERE).classes == classes


def test_points_on_one_spot_stay_finite() -> None:
    assert np.isfinite(DATA["points"](points=[[3, 3, k % 2] for k in range(12)]).load(HERE).train.x).all()


@pytest.mark.parametrize(
    ("name", "knobs"),
    [
        ("points", {"points": [[0, 0, 0]] * 5001}),
        ("spirals", {"arms": 7}),
        ("blobs", {"classes": 27}),
        ("xor", {"arms": 2}),
    ],
)
def test_knobs_out_of_bounds_are_refused(name: str, knobs: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        DATA[name](**knobs)
