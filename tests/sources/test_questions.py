"""Each source asks as often as its docstring says, and asks about no local image unless it says so."""

import math

import pytest
import torch
from makers import access_of, quick, scene, steps
from torch import Tensor

from kdcore.generation.source import Maker
from kdcore.spec.query_limits import learning
from kdcore.spec.registry import SOURCES
from kdcore.spec.spec import parse

torch.set_num_threads(1)
BATCH = 8


def distinct(asked: list[Tensor]) -> int:
    return len({row.numpy().tobytes() for batch in asked for row in batch})


def learned(maker: Maker, count: int) -> tuple[int, int]:
    """Different images asked about by the source itself, and with those that a student of `count` steps is shown."""
    place, counting = scene(access_of(maker))
    shown = steps(maker, maker.build(place), place, count, BATCH)
    assert counting.local == 0
    inside = distinct(counting.asked)
    return inside, distinct([*counting.asked, *(place.inputs(images) for images in shown)])


@pytest.mark.parametrize("name", ["noise", "dfad", "zskt", "dafl", "ideal", "dfhl_rs", "deepinversion"])
def test_these_ask_nothing_to_learn(name: str) -> None:
    maker = quick(name)
    assert learned(maker, 3)[0] == 0
    assert maker.needs - {"labels"} or not maker.queries, "a promise rests on it"


@pytest.mark.parametrize(
    ("directions", "generator_steps", "student_steps", "retain"), [(1, 1, 5, 0.0), (3, 2, 2, 0.0), (2, 1, 3, 0.25)]
)
def test_dfme(directions: int, generator_steps: int, student_steps: int, retain: float) -> None:
    n, r = 7, round(retain * BATCH)
    knobs = {"directions": directions, "generator_steps": generator_steps, "student_steps": student_steps}
    maker = SOURCES["dfme"](latent=5, width=8, retain=retain, **knobs)
    assert isinstance(maker, Maker)
    inside, whole = learned(maker, n)
    assert inside == math.ceil(n / student_steps) * generator_steps * (directions + 1) * BATCH
    assert whole - inside == BATCH + (n - 1) * (BATCH - r)


@pytest.mark.parametrize("name", ["mekd", "noise", "dfme", "ideal", "dfhl_rs", "zo_inversion"])
@pytest.mark.parametrize("access", ["probabilities", "labels"])
def test_a_promise_holds_for_what_is_asked(name: str, access: str) -> None:
    """It is what a budget keeps for learning; where nothing is asked twice it is exact."""
    maker, count = quick(name), 7
    if access == "labels" and not maker.needs <= {"labels"}:
        return
    asked = {"source": {"name": name, "knobs": maker.model_dump()}, "schedule": {"steps": count, "batch": BATCH}}
    nets = {"student": {"name": "cnn"}, "service": {"name": "http", "knobs": {"model": "m"}}, "access": access}
    promised = learning(parse(asked | nets | {"data": {"name": "digits"}, "method": {"name": "hard_label"}}))
    place, counting = scene(access)  # type: ignore[arg-type]
    shown = steps(maker, maker.build(place), place, count, BATCH)
    sent = distinct([*counting.asked, *(place.inputs(images) for images in shown)])
    assert promised is not None
    assert sent == promised if name in ("mekd", "noise") else sent <= promised


def test_zo_inversion() -> None:
    pool, made, updates, directions = 6, 4, 3, 2
    maker = SOURCES["zo_inversion"](latent=5, width=8, pool=pool, made=made, updates=updates, directions=directions)
    assert isinstance(maker, Maker)
    inside, whole = learned(maker, 30)
    assert inside == math.ceil(pool / made) * made * updates * (directions + 1)
    assert whole - inside == pool


def test_ideal_asks_about_each_image_of_its_pool_once() -> None:
    rounds, every = 3, 20
    maker = SOURCES["ideal"](latent=5, width=8, updates=2, made=6, every=every, pool=100)
    assert isinstance(maker, Maker)
    assert learned(maker, rounds * every) == (0, 6 * rounds)


def test_dfhl_rs_and_noise_ask_about_each_image_they_show() -> None:
    assert learned(SOURCES["noise"](), 6) == (0, 6 * BATCH)  # type: ignore[arg-type]
    maker = SOURCES["dfhl_rs"](latent=5, width=8, updates=2, made=64, every=3)
    assert isinstance(maker, Maker)
    inside, whole = learned(maker, 6)
    assert inside == 0
    assert 0.5 * 6 * BATCH < whole <= 6 * BATCH  # an image drawn twice in one batch is climbed alike
