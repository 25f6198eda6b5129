"""The microscope on the page: what it asks of its helper, and how it tells what was seen."""

from __future__ import annotations

from math import sqrt
from typing import Any

import pytest
from lab_driver import Finish, Open
from streamlit.testing.v1 import AppTest

from app import state
from app.helpers import microscope
from app.panels import View
from app.reports.microscope_card import card, lines
from app.text.consent import OTHERS
from kdcore.errors import BadInput

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
SILENT = {key: value for key, value in SIGHT.items() if key not in ("inverse_teacher", "difference", "loss", "again")}
SILENT |= {"teacher": None}  # nobody has asked the teacher


def test_every_image_has_its_name_and_class() -> None:
    html = card(SIGHT, "light")
    assert html.count("<img ") == 5
    for told in (
        "G(T(x′))",
        "teacher predicts <b>b</b>, 70.0 %",
        "student predicts <b>&lt;a&gt;</b>",
        "0.100 away",
        "it is b",
    ):
        assert told in html
    assert "<a>" not in html
    assert "http" not in html


def test_sentences_are_honest() -> None:
    said = "\n".join(lines(SIGHT))
    assert "image <b>0.25</b>, kl <b>0.5</b>" in said
    assert "the teacher says <b>c</b>: another one." in said
    assert "Cycle accuracy <b>50.0 %</b>" in said


def test_what_nobody_answered_is_left_out() -> None:
    silent = SILENT | {"cycle": None, "asked": 3}
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


def _looking() -> None:
    """The microscope above a run whose teacher is asked by the image."""
    from types import SimpleNamespace
    from typing import cast

    from app.helpers import microscope

    run = SimpleNamespace(spec=SimpleNamespace(wall=SimpleNamespace(price=2.0)))
    microscope._look(cast("Any", run), {"row": 0})


def test_a_question_that_cannot_be_asked_takes_nothing_else_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is one offered once the budget is used up."""
    left = [1]

    def sight(_: object, asked: dict[str, Any]) -> dict[str, Any]:
        if asked["ask"]:
            left[0] = 0
            raise BadInput("Nothing was sent.")
        return SILENT | {"may_ask": True, "left": left[0]}

    monkeypatch.setattr(microscope, "sight", sight)
    monkeypatch.setattr(state, "_state", {})
    monkeypatch.setattr(state, "view", View)
    monkeypatch.setattr(state, "owns", lambda _: True)
    page = AppTest.from_function(_looking).run(timeout=60)
    assert not page.button[0].disabled
    page.button[0].click().run(timeout=60)
    assert [one.value for one in page.info] == ["Nothing was sent."]
    assert "student predicts" in page.get("html")[0].proto.body
    assert page.button[0].disabled
    assert "Nothing more can be sent by hand." in page.button[0].help


def test_only_the_owner_of_a_run_has_its_teacher_asked(lab: Open, finish: Finish) -> None:
    """Neither by a button, nor by a request that somebody makes up: the old page asked for whoever pressed."""
    lab()  # a visitor
    run = finish()
    with pytest.raises(BadInput, match="belongs to another user, so nothing is sent"):
        microscope.sight(run, {"row": 0, "ask": True})


def test_another_user_finds_no_button_that_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(microscope, "sight", lambda *_: SILENT | {"may_ask": True, "left": 9, "says": "9 are left."})
    monkeypatch.setattr(state, "_state", {})
    monkeypatch.setattr(state, "view", View)
    for mine in (True, False):
        monkeypatch.setattr(state, "owns", lambda _, mine=mine: mine)
        page = AppTest.from_function(_looking).run(timeout=60)
        assert len(page.button) == mine
        (told,) = [one.value for one in page.caption]
        assert told == ("9 are left." if mine else OTHERS)
