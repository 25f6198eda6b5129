"""The microscope on the page: what it asks of its helper, and how it tells what was seen."""

from __future__ import annotations

from math import sqrt
from typing import Any

import pytest

from app.helpers import microscope
from app.reports.microscope_card import card, lines

PIXELS = [[[0, 128], [255, 64]]]
SIGHT: dict[str, Any] = {
    "classes": ["<a>", "b", "c"],
    "label": 1,
    "image": PIXELS,
    "teacher": [0.1, 0.7, 0.2],
    "student": [0.6, 0.3, 0.1],
    "inverse_teacher": PIXELS,
    "inverse_student": PIXELS,
    "difference": PIXELS,
    "again": 2,
    "loss": {"image": 0.25, "kl": 0.5},
    "cycle": 0.5,
    "step": None,
    "asked": 0,
    "may_ask": False,
    "nearest": [{"where": "local", "image": PIXELS, "distance": 0.1}],
}


def test_every_image_has_its_name_and_class() -> None:
    html = card(SIGHT, "light")
    assert html.count("<img ") == 5
    for told in ("G(T(x′))", "teacher says <b>b</b>, 70.0 %", "student says <b>&lt;a&gt;</b>", "0.100 away", "it is b"):
        assert told in html
    assert "<a>" not in html
    assert "http" not in html


def test_sentences_are_honest() -> None:
    said = "\n".join(lines(SIGHT))
    assert "image <b>0.25</b>, kl <b>0.5</b>" in said
    assert "the teacher says <b>c</b>: another one." in said
    assert "Cycle accuracy <b>50.0 %</b>" in said


def test_what_nobody_answered_is_left_out() -> None:
    silent = {
        key: value for key, value in SIGHT.items() if key not in ("inverse_teacher", "difference", "loss", "again")
    }
    silent |= {"teacher": None, "cycle": None, "asked": 3}
    assert card(silent, "dark").count("<img ") == 3
    assert lines(silent) == ["Asked by hand so far: 3 images, beside those of the run; each is paid for."]
    assert "1 image, beside" in lines(silent | {"asked": 1})[0]


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_walk_begins_and_ends_at_answers_as_long_as_latents(share: float) -> None:
    latent = microscope.between(10, 2, 7, share)
    assert sum(latent) == pytest.approx(0)
    assert sqrt(sum(value**2 for value in latent)) == pytest.approx(sqrt(10))
    assert latent.index(max(latent)) == (7 if share else 2)


def test_half_way_both_classes_are_alike() -> None:
    latent = microscope.between(4, 0, 3, 0.5)
    assert latent[0] == latent[3] > latent[1] == latent[2]
