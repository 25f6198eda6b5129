"""The frontier on rows made by hand: who beats whom, what is laid beside what, and the honest reference."""

from __future__ import annotations

from typing import Any

import pytest

from kdcore.blackbox.frontier import Point, best, point_of, reference, task_of
from kdcore.blackbox.orders import Order, spec
from kdcore.events import Finished, Meter
from kdcore.spec.spec import Choice, Spec

BASE = spec(Order())


def point(run: str, images: int, accuracy: float, agreement: float | None = None) -> Point:
    return Point(run, BASE, images, 0, 0.0, accuracy, accuracy if agreement is None else agreement, spent=False)


def test_the_line_joins_those_that_nobody_beats_with_as_few_images() -> None:
    points = [
        point("d", 900, 0.8),
        point("a", 100, 0.5),
        point("b", 100, 0.6),
        point("c", 500, 0.9),
        point("e", 901, 0.91),
    ]
    assert [one.run for one in best(points, "accuracy")] == ["b", "c", "e"]
    assert [one.run for one in best(reversed(points), "accuracy")] == ["b", "c", "e"]
    assert best([], "accuracy") == []


def test_agreement_is_another_line() -> None:
    points = [point("a", 10, 0.9, 0.5), point("b", 20, 0.8, 0.7), Point("c", BASE, 30, 0, 0.0, 0.99, None, spent=False)]
    assert [one.run for one in best(points, "accuracy")] == ["a", "c"]
    assert [one.run for one in best(points, "agreement")] == ["a", "b"]


def test_a_run_is_a_point_once_it_is_over_and_counted() -> None:
    ended = Finished(
        step=5, result={"student_accuracy": 0.9, "agreement": 0.8}, meter=Meter(images=4000, local=7), spent=True
    )
    asked = spec(Order(price=2.5))
    assert point_of("r", asked, ended) == Point("r", asked, 4000, 7, 10.0, 0.9, 0.8, spent=True)
    assert point_of("r", asked, None) is None
    assert point_of("r", asked, Finished(step=5, result={"student_accuracy": 0.9})) is None


def test_only_runs_of_one_task_stand_beside_one_another() -> None:
    others = [Order(preset="paper", budget=90_000, share=0.5), Order(preset="kd", local=True), Order(seed=3)]
    assert all(task_of(spec(other)) == task_of(BASE) for other in others)
    apart = [Order(access="labels"), Order(data="mnist"), Order(quick=False)]
    assert all(task_of(spec(other)) != task_of(BASE) for other in apart)
    assert task_of(spec(Order(access="white_box", preset="quick"))) is None


def ran(order: Order, accuracy: float, **changes: Any) -> tuple[str, Spec, dict[str, float]]:
    asked = spec(order).model_copy(update=changes)
    return f"{accuracy}", asked, {"student_accuracy": accuracy, "agreement": accuracy - 0.1}


def test_the_reference_learned_on_the_very_same_local_images() -> None:
    local = Order(preset="kd", local=True)
    ended = [
        ran(local, 0.90),
        ran(Order(preset="hard_label", local=True), 0.92),
        ran(Order(), 0.99),  # made images
        ran(Order(preset="kd", local=True, share=0.5), 0.98),  # more of them
        ran(local, 0.97, student=Choice(name="mlp")),  # another network
    ]
    found = reference(BASE, ended)
    assert found is not None
    assert (found.run, found.accuracy, found.agreement) == ("0.92", 0.92, pytest.approx(0.82))
    assert reference(BASE, ended[2:]) is None


def test_no_run_is_its_own_reference() -> None:
    own, other = ran(Order(preset="kd", local=True), 0.96), ran(Order(preset="hard_label", local=True), 0.92)
    again = ("again", own[1], own[2])  # the same settings give the same bits
    assert reference(own[1], [own, again]) is None
    found = reference(own[1], [own, again, other])
    assert found is not None
    assert found.run == "0.92"


def test_a_student_of_another_teacher_is_no_reference() -> None:
    local = Order(preset="kd", local=True)
    alone = ran(local, 0.93, teacher=None, access="white_box", wall=None)
    remote, elsewhere = (Choice(name="http", knobs={"model": name}) for name in ("m", "n"))
    others = [alone, ran(local, 0.94), ran(Order(preset="kd", local=True, service=elsewhere), 0.95)]
    beside = spec(Order(service=remote))
    assert reference(BASE, [alone]) is None
    assert reference(beside, others) is None
    found = reference(beside, [*others, ran(Order(preset="kd", local=True, service=remote, budget=90), 0.5)])
    assert found is not None
    assert (found.accuracy, found.agreement) == (0.5, 0.4)
