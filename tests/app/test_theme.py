"""Roles and classes have palettes of their own, told apart by everybody and legible in light and dark."""

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from record_factory import record

from app import theme
from app.panels import View, panel
from app.panels._figure import term_colours
from app.theme import Theme

MACHADO = {  # Machado, Oliveira and Fernandes 2009, severity 1, of linear RGB
    "usual": np.eye(3),
    "protanopia": np.array([[0.1523, 1.0526, -0.2049], [0.1145, 0.7863, 0.0992], [-0.0039, -0.0481, 1.0520]]),
    "deuteranopia": np.array([[0.3673, 0.8606, -0.2280], [0.2801, 0.6725, 0.0474], [-0.0118, 0.0429, 0.9690]]),
}
TO_LMS = np.array([[0.41222, 0.53633, 0.05145], [0.21190, 0.68070, 0.10740], [0.08830, 0.28172, 0.62998]])
TO_LAB = np.array([[0.21045, 0.79362, -0.00407], [1.97800, -2.42859, 0.45059], [0.02590, 0.78277, -0.80868]])
LOOKS: tuple[Theme, ...] = ("light", "dark")
ROLES = (theme.TEACHER, theme.STUDENT, theme.MENTOR, theme.DISAGREE, theme.GOOD)


def linear(colour: str) -> np.ndarray:
    value = np.array([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)])
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def oklab(colour: str, eyes: str = "usual") -> np.ndarray:
    """Lightness and two opponents, in which distances are about as large as they look (Ottosson 2020)."""
    return TO_LAB @ np.cbrt(TO_LMS @ np.clip(MACHADO[eyes] @ linear(colour), 0, 1))


def apart(one: str, other: str, eyes: str = "usual") -> float:
    return float(np.linalg.norm(oklab(one, eyes) - oklab(other, eyes)))


def contrast(one: str, other: str) -> float:
    low, high = sorted(float(linear(colour) @ [0.2126, 0.7152, 0.0722]) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("look", LOOKS)
def test_no_class_looks_like_a_role(look: Theme) -> None:
    for place, colour in enumerate(theme.classes(200, look)):
        assert min(apart(colour, role[look]) for role in ROLES) > (0.09 if place < 10 else 0.06), colour


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("eyes", MACHADO)
def test_ten_classes_are_told_apart(look: Theme, eyes: str) -> None:
    colours = theme.classes(10, look)
    assert min(apart(one, other, eyes) for one, other in combinations(colours, 2)) > 0.1
    assert min(apart(one, other, eyes) for one, other in combinations(colours[:3], 2)) > 0.16


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("eyes", MACHADO)
def test_teacher_and_student_are_told_apart(look: Theme, eyes: str) -> None:
    assert all(apart(one[look], other[look], eyes) > 0.09 for one, other in combinations(ROLES[:3], 2))


@pytest.mark.parametrize("look", LOOKS)
def test_every_colour_stands_out_from_the_page(look: Theme) -> None:
    shown = [*theme.classes(200, look), *(role[look] for role in ROLES)]
    faint = {colour: contrast(colour, theme.PAPER[look]) for colour in shown}
    assert {colour: ratio for colour, ratio in faint.items() if ratio < 2.95} == {}


@pytest.mark.parametrize("look", LOOKS)
def test_words_upon_bars_are_read(look: Theme) -> None:
    terms = term_colours([True, *[False] * 6], look)
    shown = [*theme.classes(200, look), *(role[look] for role in ROLES), *terms]
    assert min(contrast(colour, theme.upon(colour)) for colour in shown) >= 4.5
    drawn: Any = panel("tug").draw(record(), View(theme=look))
    words = [bar for bar in drawn["data"] if "text" in bar]
    assert words
    assert all(contrast(bar["marker"]["color"], bar["insidetextfont"]["color"]) >= 4.5 for bar in words)


def test_classes_keep_their_colours_when_others_join() -> None:
    for look in LOOKS:
        assert theme.classes(50, look)[:7] == theme.classes(7, look)
        assert len(set(theme.classes(100, look))) == 100
