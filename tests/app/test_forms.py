"""Every knob of every registered thing gets a widget that keeps to its bounds."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lab_driver import said
from pydantic import BaseModel, Field
from streamlit.testing.v1 import AppTest

from app.forms import fields as forms
from app.links import lab
from kdcore.blackbox.orders import Order
from kdcore.errors import BadInput
from kdcore.spec.registry import DATA, METHODS, MODELS
from kdcore.spec.schedule import Schedule

EVERYTHING = [
    *(("data", name) for name in DATA),
    *(("method", name) for name in METHODS),
    *(("student", name) for name in MODELS),
    ("schedule", "schedule"),
]


def form(part: str, name: str) -> None:
    """A page with the settings of one thing and nothing else."""
    from app import state
    from app.forms import fields as forms
    from app.links import lab

    state.arrive(state.LAB)
    if part in lab.KINDS and "began" not in state.recall("began", []):
        state.take(lab.choose(state.shown().settings, part, name))
        state.remember("began", ["began"])
    settings = state.shown().settings
    forms.fields(settings, [key for key in settings if key.startswith(f"{part}.")])
    for sentence in state.complaints():
        import streamlit

        streamlit.error(sentence)


def opened(part: str, name: str) -> AppTest:
    """That page."""
    return AppTest.from_function(form, args=(part, name), default_timeout=60).run()


def widgets(page: AppTest) -> dict[str, Any]:
    """Widgets by the setting they show."""
    kinds = (page.number_input, page.selectbox, page.toggle, page.text_input, page.button_group)
    return {item.key.removeprefix("form "): item for kind in kinds for item in kind if item.key}


@pytest.mark.parametrize(("part", "name"), EVERYTHING)
def test_every_setting_has_a_widget(part: str, name: str) -> None:
    page = opened(part, name)
    assert not page.exception
    settings = lab.complete({part: name} if part in lab.KINDS else {})
    shown = widgets(page)
    assert set(shown) == {key for key in settings if key.startswith(f"{part}.")}
    for item in page.number_input:
        assert item.min <= item.value <= item.max


class Sample(BaseModel):
    """One field of each kind of bound."""

    whole: int = Field(3, gt=0, lt=10)
    share: float = Field(0.5, gt=0.0, le=1.0)
    free: float = 1.0


def test_ends_are_numbers_that_a_person_can_read() -> None:
    fields = Sample.model_fields
    assert forms.bounds(fields["whole"]) == (1, 9)
    assert forms.bounds(fields["share"]) == (0.0, 1.0)
    assert forms.help_of(fields["share"], 0.5) == "Default 0.5. Above 0 to 1."
    assert forms.help_of(fields["whole"], 3) == "Default 3. From 1 to 9."
    assert forms.bounds(fields["free"]) == (None, None)


@given(st.floats(1e-6, 1e6))
def test_a_step_is_a_power_of_ten_within_the_default(default: float) -> None:
    step = forms.step_of(default, None)
    assert math.log10(step) == pytest.approx(round(math.log10(step)))
    assert 0.045 <= step / default <= 0.51


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("label_noise", "Label noise"),
        ("lr", "Learning rate"),
        ("kd_weight", "KD weight"),
        ("kl_weight", "KL weight"),
        ("steps", "Steps"),
    ],
)
def test_labels_read_like_words(name: str, expected: str) -> None:
    assert forms.label(name) == expected


def test_help_says_meaning_default_and_bounds() -> None:
    help_ = forms.help_of(Schedule.model_fields["momentum"], 0.9)
    assert help_ == "Momentum of SGD; beta 1 of Adam. Default 0.9. From 0 to 1."


def test_a_change_marks_its_setting() -> None:
    page = opened("schedule", "schedule")
    next(item for item in page.number_input if item.label == "Steps").set_value(700).run()
    assert "Steps · changed" in [item.label for item in page.number_input]
    assert widgets(page)["schedule.steps"].value == 700


def test_an_end_that_is_left_out_is_told_below_its_field() -> None:
    page = opened("schedule", "schedule")
    rate = widgets(page)["schedule.lr"]
    assert rate.min == 0
    rate.set_value(0.0).run()
    assert "'Learning rate' should be greater than 0, but got '0.0'." in said(page)


@pytest.mark.parametrize(("part", "name"), EVERYTHING)
def test_no_end_is_a_number_that_nobody_would_write(part: str, name: str) -> None:
    for item in opened(part, name).number_input:
        assert item.min is None or item.min == 0 or abs(item.min) > 1e-9, item.label


def test_what_is_refused_is_named_as_its_field_is() -> None:
    info = Order.model_fields["share"]
    with pytest.raises(BadInput, match=r"^'Share of local images' should be greater than 0"):
        forms.checked("share", info, 0.0)


def test_a_list_is_typed_with_commas() -> None:
    page = opened("schedule", "schedule")
    milestones = widgets(page)["schedule.milestones"]
    assert milestones.value == "0.625,0.75,0.875"
    milestones.set_value("0.5, 0.9").run()
    assert widgets(page)["schedule.milestones"].value == "0.5,0.9"
    assert not page.error


def test_a_mistyped_list_is_one_sentence_and_nothing_is_lost() -> None:
    page = opened("schedule", "schedule")
    widgets(page)["schedule.steps"].set_value(700).run()
    widgets(page)["schedule.milestones"].set_value("half").run()
    assert "'Milestones' is a list such as 0.5,0.75, but got 'half'." in said(page)
    assert widgets(page)["schedule.steps"].value == 700
    assert widgets(page)["schedule.milestones"].value == "half"


def test_reading_refuses_what_is_out_of_bounds() -> None:
    read = forms.reader("schedule.lr", Schedule.model_fields["lr"])
    assert read(" 0.25 ") == 0.25
    with pytest.raises(BadInput, match=r"'Learning rate' should be less than or equal to 10, but got '11'\."):
        read("11")


def test_tidy_takes_the_dust_of_adding_away() -> None:
    assert forms.tidy(0.05 + 0.01) == 0.06
    assert forms.tidy(5e-324) == pytest.approx(0, abs=1e-300)
