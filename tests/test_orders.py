"""Orders of the Black box page: each becomes a run that may start, and none says more than it does."""

from __future__ import annotations

import re
from typing import Any, get_args

import pytest
import torch

from kdcore.blackbox import orders
from kdcore.blackbox.orders import Order
from kdcore.contracts.access import Access
from kdcore.errors import BadInput
from kdcore.generation.networks import to_bytes
from kdcore.spec import query_limits
from kdcore.spec.catalogue import entry
from kdcore.spec.checks import check
from kdcore.spec.presets import PRESETS, grants, presets
from kdcore.spec.registry import SOURCES
from kdcore.spec.spec import Spec, parse


def granted(access: Access) -> list[str]:
    return [name for name in presets() if grants(name, access)]


@pytest.mark.parametrize("access", get_args(Access))
def test_every_preset_that_the_access_grants_is_a_run(access: Access) -> None:
    assert granted(access)
    for name in granted(access):
        asked = orders.spec(Order(preset=name, access=access, local=True))
        check(asked)
        assert asked.access == access
        assert bool(asked.wall) == (access != "white_box")
        assert parse(asked.model_dump_json()).hash == asked.hash


@pytest.mark.parametrize("access", get_args(Access))
def test_a_preset_beyond_the_access_is_refused_and_others_are_named(access: Access) -> None:
    for name in set(presets()) - set(granted(access)):
        with pytest.raises(BadInput, match="needs more than the teacher's"):
            orders.spec(Order(preset=name, access=access, local=True))


def test_what_is_offered() -> None:
    assert [name for name, one in presets().items() if one.kind == "mekd"] == list(PRESETS)
    assert {name for name, one in presets().items() if one.kind == "maker"} == {
        name for name in SOURCES if name not in ("mekd", "data", "slice")
    }
    assert {"kd", "dkd", "hard_label"} <= {name for name, one in presets().items() if one.kind == "local"}
    assert "fitnet" not in presets()
    assert all(one.says.endswith(".") for one in PRESETS.values())


def test_the_edge_owns_a_share_and_the_teacher_knows_all() -> None:
    asked = orders.spec(Order(share=0.2))
    assert asked.teacher is not None
    assert (asked.data.knobs["train_fraction"], asked.data.knobs["label_fraction"]) == (0.2, 0.0)
    assert (asked.teacher.data.knobs["train_fraction"], asked.teacher.data.knobs["label_fraction"]) == (1.0, 1.0)
    assert asked.teacher.access == "white_box"
    assert not asked.teacher.wall


@pytest.mark.parametrize("name", ["kd", "dkd", "dist"])
def test_no_true_label_weighs_anything(name: str) -> None:
    assert orders.spec(Order(preset=name, local=True)).method.knobs["label_weight"] == 0.0


def test_local_images_leave_only_where_that_is_allowed() -> None:
    for name in ("kd", "knockoff", "activemix"):
        with pytest.raises(BadInput, match="sends the edge's own images"):
            orders.spec(Order(preset=name))
    assert orders.spec(Order(preset="aligned")).source.knobs["align"] == "self"
    assert orders.spec(Order(preset="aligned", local=True)).source.knobs["align"] == "local"
    assert [orders.sends_local(Order(preset=name, local=True)) for name in ("kd", "aligned", "paper")] == [
        True,
        True,
        False,
    ]
    assert not orders.sends_local(Order(preset="aligned"))


def test_paper_and_released_code_differ_where_they_should() -> None:
    paper, released = (orders.spec(Order(preset=name)) for name in ("paper", "released"))
    knobs = [(asked.source.knobs["information"], asked.method.knobs["kl_weight"]) for asked in (paper, released)]
    assert knobs == [("paper", 0.5), ("released", 1.0)]
    assert [asked.method.knobs["pixels"] for asked in (paper, released)] == ["sum", "mean"]
    assert all(asked.source.knobs["align"] == "none" for asked in (paper, released))


def test_published_steps_and_networks() -> None:
    asked = orders.spec(Order(data="mnist", preset="paper", quick=False))
    assert asked.teacher is not None
    assert asked.schedule.steps * asked.schedule.batch == 15_360_000  # images of the published second step
    assert (asked.teacher.student.knobs["variant"], asked.student.knobs["variant"]) == ("32", "8")
    assert (asked.source.knobs["lr"], asked.source.knobs["nets"]) == (2e-4, "published")
    assert orders.spec(Order(preset="paper")).source.knobs["nets"] == "usual"


def test_a_pool_is_asked_about_once() -> None:
    asked = orders.spec(Order(preset="paper", pool=1000))
    assert asked.source.knobs["pool"] == 1000
    assert asked.source.knobs["information"] == "none"
    assert query_limits.most(asked) == 1000
    with pytest.raises(BadInput, match="makes no pool"):
        orders.spec(Order(preset="kd", local=True, pool=10))


@pytest.mark.parametrize("access", ["logits", "probabilities", "labels"])
@pytest.mark.parametrize("name", PRESETS)
def test_questions_are_those_of_lead_and_student(name: str, access: Access) -> None:
    asked = orders.spec(Order(preset=name, access=access))
    source: Any = SOURCES["mekd"](**asked.source.knobs)
    scene: Any = type("Scene", (), {"access": access})
    lead = source.steps * source.real if source._asks(scene) else 0
    assert query_limits.learning(asked) == lead + asked.schedule.steps * asked.schedule.batch
    assert query_limits.led(asked) == lead
    budgeted = orders.spec(Order(preset=name, access=access, budget=lead + 77))
    assert query_limits.most(budgeted) == lead + 77


@pytest.mark.parametrize(("name", "data"), [("zo_inversion", "digits"), ("dfme", "cifar10")])
def test_probes_that_rounding_hides_are_told_with_the_least_step_that_survives(name: str, data: str) -> None:
    asked = orders.spec(Order(preset=name, data=data, upload="uint8"))
    found = re.search(
        r"moves a value by (\S+) of 255 levels .*'Values are sent as' to float32, or set its reach to (\S+) or more",
        orders.drowned(asked),
    )
    assert found
    told, least = map(float, found.groups())
    chance = torch.Generator().manual_seed(0)
    images = 2 * torch.rand(200, *entry("data", data)["shape"], generator=chance) - 1
    directions = torch.randn(images.shape, generator=chance)
    directions /= directions.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    reach = float(str(asked.source.knobs["reach"]))
    assert float(reach * directions.abs().mean() * 255 / 2) == pytest.approx(told, rel=0.05)
    shares = [
        float((to_bytes(images + step * directions) != to_bytes(images)).float().mean()) for step in (least, least / 2)
    ]
    assert shares[0] > 0.45 > 0.3 > shares[1]
    for step, lost in ((least, False), (0.97 * least, True)):
        assert bool(orders.drowned(with_knob(asked, "source", reach=step))) is lost


def test_probes_are_heard_where_nothing_is_rounded_or_nothing_probes() -> None:
    plain = [Order(preset="zo_inversion"), Order(preset="dfme", access="white_box", upload="uint8")]
    for order in (*plain, Order(preset="dfhl_rs", upload="uint8"), Order(preset="kd", local=True, upload="uint8")):
        assert orders.drowned(orders.spec(order)) == ""


def with_knob(asked: Spec, part: str, **knobs: object) -> Spec:
    raw = asked.model_dump(mode="json")
    raw[part]["knobs"] |= knobs
    return parse(raw)


def test_what_has_no_effect_is_refused() -> None:
    with pytest.raises(BadInput, match="Only probabilities can be cut, rounded or noised"):
        orders.spec(Order(access="labels", digits=2))
    with pytest.raises(BadInput, match="The order: share"):
        orders.parse({"share": 2.0})
    with pytest.raises(BadInput, match="Did you mean 'quick'"):
        orders.spec(Order(preset="quik"))


@pytest.mark.parametrize(
    ("order", "titles"),
    [
        ({"access": "labels", "digits": 2, "top": 3}, ("Only the largest probabilities", "Rounded to decimals")),
        ({"preset": "kd"}, ("Local images may be sent to the teacher", "MEKD, aligned and quick (quick)")),
        ({"preset": "kd", "local": True, "pool": 9}, ("Pool size: synthetic images reused", "MEKD as in the paper")),
        ({"measure": "real"}, ("Also send for measuring",)),
        ({"preset": "aligned", "budget": 9}, ("Query budget (images)", "MEKD as in the paper (paper)", "Pool size: ")),
        ({"preset": "deepinversion"}, ("MEKD, aligned and quick (quick)",)),
    ],
)
def test_a_refusal_names_fields_and_options_as_the_form_does(order: dict[str, object], titles: tuple[str, ...]) -> None:
    with pytest.raises(BadInput) as caught:
        orders.spec(orders.parse(order))
    assert [title for title in titles if title not in str(caught.value)] == []


def test_a_budget_that_the_generator_would_use_up_is_refused() -> None:
    with pytest.raises(BadInput, match="asks about 76,800 images before the student's first step"):
        orders.spec(Order(preset="aligned", pool=3000, budget=76_800))
    assert query_limits.most(orders.spec(Order(preset="paper", pool=3000, budget=3000))) == 3000
    assert query_limits.most(orders.spec(Order(preset="paper", access="labels", budget=500))) == 500
