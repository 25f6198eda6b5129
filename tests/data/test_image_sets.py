"""Digits, coloured digits and rendered digits: what is told of them can be seen in them."""

import colorsys
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

from kdcore.data import _digits
from kdcore.data._glyphs import GLYPHS, Segments, ink
from kdcore.data.digits_color import WHEEL, _doubled, _rgb
from kdcore.spec.registry import DATA

HERE = Path()


def test_digits_are_scikit_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    levels, y = _digits._shipped()
    theirs = load_digits()
    assert np.array_equal(levels, theirs.data)
    assert np.array_equal(y, theirs.target)
    monkeypatch.setattr(_digits, "SHIPPED", "moved elsewhere")
    again = _digits._shipped()
    assert np.array_equal(again[0], levels)
    assert np.array_equal(again[1], y)


def test_digits_hold_the_same_test_rows_under_every_seed() -> None:
    one, two = (DATA["digits"](seed=seed).load(HERE) for seed in (1, 2))
    assert np.array_equal(one.test.x, two.test.x)
    assert not np.array_equal(one.val.x, two.val.x)
    assert len(one.train.y) + len(one.val.y) + len(one.test.y) == 1797
    assert (one.train.x.min(), one.train.x.max()) == (0, 255)


@pytest.mark.parametrize("colors", range(3, 11))
def test_product_classes_are_named_after_digit_and_colour(colors: int) -> None:
    toy = DATA["digits_color"](colors=colors)
    classes = toy.load(HERE).classes
    assert len(set(classes)) == 10 * colors == toy.signature()[1]
    assert classes[0] == "0 red"
    assert {name.split()[1] for name in classes} <= set(WHEEL)


def test_a_class_shows_its_digit_in_its_colour() -> None:
    data = DATA["digits_color"](colors=6, hue_jitter=0.0).load(HERE)
    pixels = data.train.x / 255
    brightest = np.take_along_axis(
        pixels.reshape(len(pixels), 3, -1), pixels.sum(1).reshape(len(pixels), 1, -1).argmax(2)[..., None], axis=2
    )[..., 0]
    hue = np.array([colorsys.rgb_to_hsv(*pixel)[0] for pixel in brightest])
    color = data.train.y % 6
    off = np.abs((hue - color / 6 + 0.5) % 1 - 0.5) * 6
    assert np.mean(off < 0.5) > 0.98
    grey = KNeighborsClassifier(3).fit(pixels.max(1).reshape(len(pixels), -1), data.train.y // 6)
    test = data.test.x.max(1).reshape(len(data.test.y), -1) / 255
    assert grey.score(test, data.test.y // 6) > 0.9


def test_hue_jitter_mixes_neighbouring_colours() -> None:
    data = DATA["digits_color"](colors=10, hue_jitter=0.5).load(HERE)
    mean = np.array([data.train.x[data.train.y % 10 == color].mean((0, 2, 3)) for color in range(10)])
    gaps = np.linalg.norm(mean - np.roll(mean, 1, 0), axis=1)
    assert gaps.max() < np.linalg.norm(mean - np.roll(mean, 5, 0), axis=1).min()


def test_colours_agree_with_the_standard_library() -> None:
    rng = np.random.default_rng(0)
    hue, saturation, value = rng.random((3, 200))
    expected = [colorsys.hsv_to_rgb(*each) for each in zip(hue, saturation, value, strict=True)]
    np.testing.assert_allclose(_rgb(hue, saturation, value), expected, atol=1e-12)
    np.testing.assert_allclose(_rgb(hue - 2, saturation, value), expected, atol=1e-12)


def test_doubling_keeps_planes_and_means() -> None:
    ramp = np.add.outer(np.arange(8.0), 2 * np.arange(8.0))[None]
    twice = _doubled(ramp)
    assert twice.shape == (1, 16, 16)
    np.testing.assert_allclose(np.diff(twice[0, 1:-1, 1:-1], axis=0), 0.5)
    assert twice.mean() == pytest.approx(ramp.mean())


def test_a_pen_covers_what_lies_within_its_radius() -> None:
    pieces = Segments(np.array([[[4.5, 8.5]]]), np.array([[[12.5, 8.5]]]))
    depth = ink(pieces, np.array([[2.0]]), 16)[0]
    y, x = np.mgrid[:16, :16]
    gap = np.hypot(np.maximum(0, np.maximum(4 - x, x - 12)), y - 8)
    np.testing.assert_allclose(depth, 2.0 - gap, atol=1e-5)


def test_every_digit_has_three_ways_inside_the_box() -> None:
    assert [len(ways) for ways in GLYPHS] == [3] * 10
    points = np.concatenate([stroke for ways in GLYPHS for glyph in ways for stroke in glyph])
    assert points.min() > -0.02
    assert points.max() < 1.02


def test_one_plain_font_draws_one_picture_per_digit() -> None:
    data = DATA["rendered"](samples=100, style=0.0).load(HERE)
    for digit in range(10):
        assert len(np.unique(data.train.x[data.train.y == digit], axis=0)) == 1


@pytest.mark.parametrize("side", [28, 32])
def test_rendered_digits_are_inside_and_can_be_read(side: int) -> None:
    data = DATA["rendered"](samples=2000, side=side, style=1.0).load(HERE)
    assert data.train.x.shape[1:] == (1, side, side)
    assert len({row.tobytes() for row in data.train.x}) == len(data.train.x)
    edge = np.concatenate([data.train.x[..., 0].ravel(), data.train.x[..., -1].ravel()])
    assert np.mean(edge > 127) < 0.002
    read = KNeighborsClassifier(3).fit(data.train.x.reshape(len(data.train.x), -1) / 255, data.train.y)
    assert read.score(data.test.x.reshape(len(data.test.x), -1) / 255, data.test.y) > 0.85


def test_drawing_tells_how_far_it_is() -> None:
    told: list[tuple[str, float]] = []
    DATA["rendered"](samples=100).load(HERE, lambda what, share: told.append((what, share)))
    assert told[29] == ("drawing images", 1.0)
    assert told[-1] == ("drawing test images", 1.0)
    assert all(0 <= share <= 1 for _, share in told)
