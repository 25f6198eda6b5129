"""Links to the Black box page: an order goes into one and comes back, and what goes with a choice goes with it."""

from __future__ import annotations

import pytest

from app.links import black_box
from app.links.lab import Link
from app.panels import View
from kdcore.blackbox.orders import Order, spec
from kdcore.spec.checks import check
from kdcore.spec.presets import PRESETS
from kdcore.spec.spec import Choice


def test_nothing_changed_is_an_empty_link() -> None:
    assert black_box.write(Link(black_box.complete({}))) == {}
    assert black_box.read({})[0].settings == black_box.DEFAULTS


@pytest.mark.parametrize(
    "order",
    [
        Order(),
        Order(preset="paper", access="labels", share=0.25, budget=10_000, price=2.5, upload="uint8", seed=3),
        Order(preset="kd", local=True, top=3, digits=2, noise=0.01, quick=False),
        Order(preset="released", pool=500, data="digits"),
        Order(data="mnist", taught="rendered"),
    ],
)
def test_an_order_comes_back(order: Order) -> None:
    shown = Link(black_box.settings_of(order), "abc", View(temperature=2.0, sample=3, at=7))
    found, complaints = black_box.read(black_box.write(shown))
    assert not complaints
    assert found == shown
    assert black_box.order_of(found.settings) == order


def test_what_cannot_be_used_is_told_and_left_out() -> None:
    found, complaints = black_box.read({"preset": "papr", "share": "7", "frob": "1", "sample": "-1", "data": "nowhere"})
    assert found.settings == black_box.DEFAULTS
    assert len(complaints) == 5
    assert "Did you mean 'paper'" in complaints[0]


def test_a_choice_takes_along_what_can_have_no_effect_with_it() -> None:
    settings = black_box.settings_of(Order(preset="dkd", local=True, digits=3, noise=0.1))
    hidden = black_box.choose(settings, "access", "labels")
    assert (hidden["digits"], hidden["noise"]) == (0, 0.0)
    assert hidden["preset"] != "dkd"
    assert black_box.choose(hidden | {"preset": "paper", "pool": 9}, "preset", "hard_label")["pool"] == 0


def test_a_teacher_of_other_data_goes_with_data_of_its_kind() -> None:
    settings = black_box.settings_of(Order(data="mnist", taught="rendered"))
    assert black_box.choose(settings, "seed", 3)["taught"] == "rendered"
    for key, value in (("data", "digits"), ("data", "rendered"), ("service", "onnx")):
        assert black_box.choose(settings, key, value)["taught"] == ""
    asked = spec(black_box.order_of(settings))
    assert asked.teacher
    assert (asked.teacher.data.name, asked.data.name) == ("rendered", "mnist")
    check(asked)
    assert black_box.order_for(asked) == black_box.order_of(settings)
    found, complaints = black_box.read({"data": "mnist", "taught": "renderd"})
    assert found.settings["taught"] == ""
    assert "Did you mean 'rendered'" in complaints[0]


@pytest.mark.parametrize("name", [*PRESETS, "kd", "hard_label"])
@pytest.mark.parametrize("local", [True, False])
def test_a_run_finds_the_order_it_came_of(name: str, local: bool) -> None:
    asked = Order(preset=name, local=local or name in ("kd", "hard_label"), budget=200_000, seed=5, share=0.3)
    found = black_box.order_for(spec(asked))
    assert found is not None
    assert spec(found) == spec(asked)


def test_a_run_of_the_lab_has_no_order() -> None:
    settings = spec(Order()).model_dump(mode="json")
    settings["schedule"]["steps"] = 7
    assert black_box.order_for(spec(Order()).model_validate(settings)) is None


def test_permission_to_measure_goes_with_a_remote_teacher_alone() -> None:
    order = Order(service=Choice(name="http", knobs={"model": "m"}), measure="real")
    settings = black_box.settings_of(order)
    assert black_box.order_of(black_box.choose(settings, "seed", 3)).measure == "real"
    for service in ("none", "onnx"):
        assert black_box.choose(settings, "service", service)["measure"] == "nothing"
    found = black_box.order_for(spec(black_box.order_of(settings)))
    assert found is not None
    assert found.measure == "real"
