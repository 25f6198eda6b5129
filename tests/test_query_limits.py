"""What a run may send at most, said before it: learning and measuring together, and what the budget leaves of them."""

from __future__ import annotations

from typing import Any

import pytest

from app.text.orders import costs
from kdcore.blackbox.orders import Order, spec
from kdcore.events import Meter
from kdcore.spec import query_limits
from kdcore.spec.spec import Choice, Spec, Wall, parse

REMOTE = Choice(name="http", knobs={"model": "m"})
LOOKS = Wall().looks


def remote(**order: Any) -> Spec:
    return spec(Order(**{"preset": "paper", "price": 2.5, "service": REMOTE, "measure": "real"} | order))


@pytest.mark.parametrize(
    ("order", "images", "words"),
    [
        (
            {"pool": 800, "budget": 3000},
            2800,
            "At most 2,800 queries; cost $7.00 ($2.50 per 1,000); 717 kB of images. Up to 800 of them are for "
            "learning, the others for measuring.",
        ),
        (
            {"pool": 300, "budget": 900},
            900,
            "At most 900 queries; cost $2.25 ($2.50 per 1,000); 230 kB of images. Up to 300 of them are for "
            "learning, the others for measuring.",
        ),
        (
            {"pool": 800, "budget": 3000, "measure": "nothing"},
            800,
            "At most 800 queries; cost $2.00 ($2.50 per 1,000); 205 kB of images.",
        ),
        (
            {"pool": 800, "measure": "synthetic", "upload": "uint8"},
            2800,
            "At most 2,800 queries; cost $7.00 ($2.50 per 1,000); 179 kB of images. Up to 800 of them are for "
            "learning, the others for measuring.",
        ),
        (
            {"budget": 500, "access": "labels"},
            500,
            "At most 500 queries; cost $1.25 ($2.50 per 1,000); 128 kB of images.",
        ),
        (
            {"preset": "kd", "local": True},
            None,
            "Each query costs $0.0025; there is no budget, so no limit. Up to 102,400 of them are local (real) images.",
        ),
        (
            {"preset": "kd", "local": True, "budget": 500},
            500,
            "At most 500 queries; cost $1.25 ($2.50 per 1,000); 128 kB of images. Up to 500 of them are local (real) "
            "images.",
        ),
        (
            {"preset": "aligned", "local": True, "pool": 500, "access": "labels", "measure": "nothing"},
            500,
            "At most 500 queries; cost $1.25 ($2.50 per 1,000); 128 kB of images. Local images are sent "
            "in addition, each once.",
        ),
    ],
)
def test_the_price_that_is_named_is_for_learning_and_measuring(
    order: dict[str, Any], images: int | None, words: str
) -> None:
    asked = remote(**order)
    assert query_limits.most(asked) == images
    assert costs(asked) == words


def test_a_teacher_on_this_machine_is_measured_for_nothing() -> None:
    asked = spec(Order(preset="paper", pool=300, budget=900))
    assert (query_limits.most(asked), query_limits.measuring(asked), query_limits.cramped(asked)) == (300, 0, "")


@pytest.mark.parametrize(
    ("order", "left", "words"),
    [
        ({"pool": 800, "budget": 2800}, LOOKS, ""),
        ({"pool": 800}, LOOKS, ""),
        ({"pool": 800, "budget": 10, "measure": "nothing"}, 0, ""),
        (
            {"pool": 300, "budget": 900},
            600,
            "The budget of 900 images leaves at most 600 for measuring: learning asks ",
        ),
        (
            {"pool": 900, "budget": 900},
            0,
            "The budget of 900 images leaves nothing for measuring: learning asks about ",
        ),
        ({"budget": 99_000}, 0, "leaves nothing for measuring: learning asks about up to 179,200."),
        ({"preset": "kd", "local": True, "budget": 900}, 0, "measuring gets only what it leaves of the budget of 900 "),
    ],
)
def test_a_budget_too_small_for_measuring_is_told_before(order: dict[str, Any], left: int, words: str) -> None:
    asked = remote(**order)
    assert query_limits.measuring(asked) == left
    assert words in query_limits.cramped(asked)
    assert bool(query_limits.cramped(asked)) == bool(words)


def test_what_learning_asks_is_known_once_the_edge_has_counted_its_images() -> None:
    kd, aligned = remote(preset="kd", local=True), remote(preset="aligned", local=True, pool=500, access="labels")
    assert (query_limits.learning(kd), query_limits.learning(kd, 129)) == (None, 129)
    assert (query_limits.learning(aligned), query_limits.learning(aligned, 129)) == (500, 629)
    moved = parse(kd.model_dump(mode="json") | {"source": {"name": "data", "knobs": {"augment": "shift"}}})
    assert query_limits.learning(moved, 129) is None, "each step shows other images"


@pytest.mark.parametrize(
    ("order", "meter", "level", "last", "why"),
    [
        ({"measure": "nothing"}, (0, 0), "real", True, "permission"),
        ({"measure": "synthetic"}, (0, 0), "real", True, "permission"),
        ({"measure": "synthetic"}, (0, LOOKS), "synthetic", False, "limit"),
        ({}, (300, LOOKS - 50), "real", True, "limit"),
        ({"budget": 900}, (0, 895), "real", True, "budget"),
        ({"budget": 900}, (300, 600), "real", False, "budget"),
        ({"budget": 2500}, (300, 1950), "real", False, "limit"),
    ],
)
def test_a_measure_that_was_left_out_has_its_true_reason(
    order: dict[str, Any], meter: tuple[int, int], level: Any, last: bool, why: str
) -> None:
    asked = remote(pool=300, **order)
    told = Meter(images=meter[0], looked=meter[1])
    assert query_limits.refusal(asked, told, 129, level, last=last) == why


def test_what_could_still_be_sent_was_not_refused() -> None:
    asked = remote(pool=300, budget=900)
    assert query_limits.refusal(asked, Meter(images=300, looked=400), 129, "real", need=200) is None
    assert query_limits.refusal(asked, Meter(images=300, looked=401), 129, "real", need=200) == "budget"


def test_what_is_kept_for_the_end_was_refused_before_it() -> None:
    asked, told = remote(pool=300, budget=900), Meter(images=300, looked=200)
    assert query_limits.refusal(asked, told, 129, "real", need=143, closing=359) == "budget"
    assert query_limits.refusal(asked, told, 129, "real", need=41, closing=359) is None
    assert query_limits.refusal(asked, told, 129, "real", need=143, closing=601) is None, "what cannot fit is not kept"
