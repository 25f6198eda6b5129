"""A method looked at without a run: the numbers are those of its loss, and every method has an example."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from app.helpers.loss_curves import kinds
from kdcore.errors import BadInput
from kdcore.explain.examples import KINDS, PRESETS, Example
from kdcore.explain.loss_curves import POINTS, SHARES, answer, curves
from kdcore.spec.catalogue import entry
from kdcore.spec.registry import METHODS

NAMES = list(METHODS)


@pytest.fixture(autouse=True)
def calm() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def numbers(found: Any) -> list[float]:
    """Every number in the answer."""
    if isinstance(found, dict):
        return [number for value in found.values() for number in numbers(value)]
    if isinstance(found, list):
        return [number for value in found for number in numbers(value)]
    return [] if found is None or isinstance(found, str) else [float(found)]


@pytest.mark.parametrize("name", NAMES)
def test_every_method_has_an_example(name: str) -> None:
    known = kinds(entry("method", name))
    for kind in known:
        found = curves(name, {}, Example(kind=kind))
        assert all(map(math.isfinite, numbers(found)))
        if kind == "five":
            assert {len(push) for push in found["push"].values()} == {5}
            assert sum(found["student"]) == pytest.approx(1)
        else:
            count = POINTS if kind == "two" else SHARES
            assert {len(curve) for curve in (found["x"], found["total"], *found["terms"].values())} == {count}
            np.testing.assert_allclose(np.sum(list(found["terms"].values()), 0), found["total"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "features"])
def test_a_method_of_features_says_where_it_can_be_seen(kind: Any) -> None:
    with pytest.raises(BadInput, match="FitNet reads the teacher's features; choose the example of features"):
        curves("fitnet", {}, Example(kind=kind))


@pytest.mark.parametrize("label", [0, 1])
def test_cross_entropy_over_the_gap_is_softplus_and_its_push_a_sigmoid(label: int) -> None:
    found = curves("ce", {}, Example(label=label))
    for x, loss, push in zip(found["x"], found["total"], found["push"], strict=True):
        gap = x if label == 0 else -x
        assert loss == pytest.approx(math.log1p(math.exp(-gap)), rel=1e-4, abs=1e-6)
        assert push == pytest.approx(1 / (1 + math.exp(gap)), rel=1e-4, abs=1e-6)


def test_distillation_over_the_gap_is_zero_at_the_teachers_and_turns_with_the_temperature() -> None:
    found = curves("kd", {"label_weight": 0.0, "kd_weight": 1.0, "temperature": 2.0}, Example(gap=3.0))
    for x, loss, push in zip(found["x"], found["terms"]["kd"], found["push"], strict=True):
        p, q = (1 / (1 + math.exp(-gap / 2)) for gap in (3.0, x))
        divergence = p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))
        assert loss == pytest.approx(4 * divergence, rel=1e-4, abs=1e-5)
        assert push == pytest.approx(2 * (p - q), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize(("name", "top"), [("adat", 0.1), ("lskd", 0.1), ("normkd", 0.1), ("mixkd", 1e-5)])
@pytest.mark.parametrize("label", [0, 1])
def test_a_loss_that_jumps_where_logits_are_equal_has_no_push_there(name: str, top: float, label: int) -> None:
    """Two standardised logits are plus and minus the same for every gap but 0: no slope besides that of the labels."""
    found = curves(name, {}, Example(label=label))
    assert [x for x, push in zip(found["x"], found["push"], strict=True) if push is None] == [0.0]
    assert max(abs(push) for push in found["push"] if push is not None) < top
    assert len({round(value, 4) for x, value in zip(found["x"], found["terms"]["kd"], strict=True) if x > 0}) == 1
    below, above = (next(v for x, v in zip(found["x"], found["terms"]["kd"], strict=True) if x == at) for at in (-1, 1))
    assert abs(above - below) > 0.1


def test_a_term_without_a_slope_at_equal_logits_has_no_bars_and_the_others_have() -> None:
    flat = curves("lskd", {}, Example(kind="five", student=PRESETS[3].logits))
    assert flat["push"]["kd"] == [None] * 5
    np.testing.assert_allclose(flat["push"]["labels"], 0.1 * (np.eye(5)[0] - 0.2), rtol=1e-5)
    unsure = curves("lskd", {}, Example(kind="five", student=PRESETS[1].logits))
    assert max(map(abs, unsure["push"]["kd"])) < 10


def test_five_classes_show_what_each_term_pushes() -> None:
    teacher, student = PRESETS[0].logits, PRESETS[2].logits
    found = curves("kd", {"temperature": 1.0}, Example(kind="five", teacher=teacher, student=student, label=1))
    p, q = (np.exp(logits) / np.exp(logits).sum() for logits in (teacher, student))
    np.testing.assert_allclose(found["teacher"], p, rtol=1e-5)
    np.testing.assert_allclose(found["push"]["kd"], 0.9 * (p - q), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found["push"]["labels"], 0.1 * (np.eye(5)[1] - q), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("temperature", [1.0, 4.0, 20.0])
def test_the_bars_are_drawn_at_the_methods_temperature(temperature: float) -> None:
    teacher, student = PRESETS[0].logits, PRESETS[2].logits
    five = Example(kind="five", teacher=teacher, student=student)
    found = curves("kd", {"temperature": temperature}, five)
    for who, logits in (("teacher", teacher), ("student", student)):
        softened = np.exp(np.array(logits) / temperature)
        np.testing.assert_allclose(found[who], softened / softened.sum(), rtol=1e-5)
    assert found["softened"] == temperature
    swapped = curves("swap_la", {"temperature": temperature}, five.model_copy(update={"label": 1}))
    first, second, *others = found["teacher"]
    np.testing.assert_allclose(swapped["target"], [second, first, *others], rtol=1e-5)
    assert curves("ce", {}, five)["softened"] == 1


@pytest.mark.parametrize("name", ["kd", "dkd", "rkd"])
def test_a_student_with_the_teachers_weights_has_nothing_to_distil(name: str) -> None:
    terms = curves(name, {}, Example(kind="features"))["terms"]
    for key in terms.keys() - {"labels"}:
        assert terms[key][-1] == pytest.approx(0, abs=1e-5)
        assert terms[key][0] > 1e-3


def test_progress_moves_a_weight_that_fades_in() -> None:
    late, early = (curves("dkd", {}, Example(kind="five", progress=at))["value"] for at in (1.0, 0.0))
    assert late["nckd"] > 0
    assert early["nckd"] == 0
    assert early["labels"] == late["labels"]


def test_the_same_question_has_the_same_answer() -> None:
    for name, kind in (("fitnet", "features"), ("kd", "two")):
        first, second = (curves(name, {}, Example(kind=kind)) for _ in range(2))  # type: ignore[arg-type]
        assert first == second


def test_wrong_knobs_are_one_sentence() -> None:
    request = {"method": "kd", "knobs": {"temperature": -1}, "example": {}}
    assert "greater than or equal to 0.1" in answer(json.dumps(request))["error"]


def test_the_process_answers_a_line_with_a_line_and_ends_with_its_input() -> None:
    requests = [{"method": "ce", "knobs": {}, "example": {"kind": kind}} for kind in ("two", "five")]
    asked = "".join(json.dumps(request) + "\n" for request in requests)
    done = subprocess.run(
        [sys.executable, "-m", "kdcore.explain.loss_curves"], input=asked, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    told = [json.loads(line)["curves"] for line in done.stdout.splitlines()]
    assert len(told[0]["x"]) == POINTS
    assert set(told[1]["push"]) == {"labels"}
