"""Neighbours, the straight line, the small search and what was drawn, each against a slow reading of its definition."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pair_factory import MLP, MOONS, pair

from kdcore.comparison.tasks import drawn, nearest, neighbours, smallest, way
from kdcore.comparison.tasks.pair import ComparedPair
from kdcore.errors import BadInput
from kdcore.runs.record import write_arrays


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> ComparedPair:
    found = pair(tmp_path_factory.mktemp("ways"))
    write_arrays(found.folder / "neighbours.npz", neighbours.work(found, {}, lambda *_: None), compress=False)
    return found


def differing(one: ComparedPair) -> int:
    """The first row about which the two differ."""
    assert one.teacher
    told = smallest.answers(one.student, one.teacher, one.x)
    return int((told[:, 0] != told[:, 1]).nonzero()[0])


def test_neighbours_are_the_nearest_by_a_slow_loop(digits: ComparedPair) -> None:
    told = nearest.answer(digits, {"row": 6})
    for name, model in (("teacher", digits.teacher), ("student", digits.student)):
        assert model
        own = model.features(digits.row(6))[0]
        gaps = [float(torch.dist(own, model.features(digits.train_x[k : k + 1])[0])) for k in range(200)]
        best = told[name][0]
        assert best["distance"] <= min(gaps) + 1e-4
        again = model.features(digits.train_x[best["row"] : best["row"] + 1])[0]
        assert best["distance"] == pytest.approx(float(torch.dist(own, again)), abs=1e-4)
        assert best["image"] == digits.train_x[best["row"]].tolist()
        assert best["label"] == int(digits.data.train.y[best["row"]])
        distances = [one["distance"] for one in told[name]]
        assert distances == sorted(distances)
    assert (told["among"], told["of"]) == (len(digits.train_x), len(digits.train_x))
    json.dumps(told)


def test_a_training_row_is_no_neighbour_of_itself(tmp_path: Path) -> None:
    one = pair(tmp_path, teacher=None, where="train", steps=(1, 1))
    write_arrays(one.folder / "neighbours.npz", neighbours.work(one, {}, lambda *_: None))
    assert nearest.answer(one, {"row": 3})["student"][0]["row"] != 3
    copied = nearest.answer(one, {"row": 3, "pixels": one.row(3)[0].tolist()})["student"][0]
    assert copied["distance"] == pytest.approx(0, abs=1e-4)
    assert way.nearest_of(one, one.row(3), int(one.labels[3]), own=3) != 3


def test_neighbours_before_they_were_measured_are_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="have not been measured yet"):
        nearest.answer(pair(tmp_path, teacher=None, steps=(1, 1)), {"row": 0})


@pytest.mark.parametrize("goal", ["teacher", "student"])
def test_the_line_leads_to_the_nearest_row_of_an_answer(digits: ComparedPair, goal: str) -> None:
    row = differing(digits)
    told = way.answer(digits, {"row": row, "to": goal})
    ours, theirs = drawn.answer(digits, {"row": row})["student"], drawn.answer(digits, {"row": row})["teacher"]
    assert told["classes"] == [theirs["answer"], ours["answer"]]
    wanted = (theirs if goal == "teacher" else ours)["answer"]
    x = digits.row(row).float()
    rows = [k for k, label in enumerate(digits.data.train.y) if label == wanted]
    gaps = [float((digits.train_x[k].float() - x[0]).norm()) for k in rows]
    assert told["end"] == {"row": rows[int(np.argmin(gaps))], "label": wanted, "training": True}
    assert told["student"]["probability"][0] == pytest.approx([ours["probability"][k] for k in told["classes"]])
    end = drawn.answer(digits, {"row": row, "pixels": digits.train_x[told["end"]["row"]].tolist()})
    for name in ("teacher", "student"):
        assert told[name]["answers"][-1] == end[name]["answer"]
        assert len(told[name]["probability"]) == len(told["share"]) == 21
        answers, flips = told[name]["answers"], told[name]["flips"]
        assert len(flips) == sum(a != b for a, b in pairwise(answers))
        for flip in flips:
            place = round(flip["share"] * 20)
            assert answers[place] == flip["to"] != answers[place - 1]
    assert told["pictures"][0] == digits.row(row)[0].tolist()


def test_the_line_to_the_row_beside(digits: ComparedPair) -> None:
    told = way.answer(digits, {"row": 0, "to": "beside", "beside": 9})
    assert told["end"] == {"row": 9, "label": int(digits.labels[9]), "training": False}
    assert told["pictures"][-1] == digits.row(9)[0].tolist()
    middle = (digits.row(0).float() + digits.row(9).float())[0] / 2
    assert np.array(told["pictures"][2]) == pytest.approx(middle.numpy(), abs=1)
    with pytest.raises(BadInput, match="no goal named 'nowhere'"):
        way.answer(digits, {"row": 0, "to": "nowhere"})


def test_a_small_change_makes_them_agree_and_less_of_it_does_not(digits: ComparedPair) -> None:
    assert digits.teacher
    row = differing(digits)
    told = smallest.answer(digits, {"row": row})
    assert (told["goal"], told["found"]) == ("agree", True)
    assert told["before"][0] != told["before"][1]
    assert told["after"][0] == told["after"][1]
    gap = torch.tensor(told["gap"]) * 255
    assert told["norm"] == pytest.approx(float(gap.norm()) / 255, rel=1e-5)
    assert told["largest"] == pytest.approx(float(gap.abs().max()) / 255, rel=1e-5)
    changed = digits.row(row).float() + gap
    assert (float(changed.min()) >= -1e-3, float(changed.max()) <= 255.001) == (True, True)
    less = smallest.answers(digits.student, digits.teacher, digits.row(row).float() + 0.98 * gap)[0].tolist()
    assert less[0] != less[1]
    assert 1 <= told["steps"] <= smallest.MOST


def test_where_they_agree_it_looks_for_the_change_that_parts_them(digits: ComparedPair) -> None:
    assert digits.teacher
    same = smallest.answers(digits.student, digits.teacher, digits.x)
    row = int((same[:, 0] == same[:, 1]).nonzero()[0])
    told = smallest.answer(digits, {"row": row})
    assert told["goal"] == "differ"
    assert told["before"][0] == told["before"][1]
    if told["found"]:
        assert told["after"][0] != told["after"][1]


def test_a_linear_student_needs_exactly_its_margin_over_its_slope(tmp_path: Path) -> None:
    """Behind one linear layer the nearest boundary is known: |z_a - z_b| / |w_a - w_b|."""
    one = pair(tmp_path, student=MLP, teacher=MLP, data=MOONS, steps=(1, 40))
    assert one.student.net
    assert one.teacher
    weight = torch.tensor([[1.0, -2.0], [-1.0, 1.0]])
    one.student.net.blocks, one.student.net.head = torch.nn.ModuleList([torch.nn.Identity()]), torch.nn.Linear(2, 2)
    with torch.no_grad():
        one.student.net.head.weight.copy_(weight)
        one.student.net.head.bias.zero_()
    row = differing(one)
    z = one.student.logits(one.row(row))[0]
    exact = float((z[0] - z[1]).abs() / (weight[0] - weight[1]).norm())
    told = smallest.answer(one, {"row": row})
    assert told["found"]
    if told["after"][1] == told["before"][1]:  # the teacher did not move, so the student had to
        assert told["norm"] == pytest.approx(exact, rel=0.03)


def test_a_search_without_slopes_finds_nothing_and_says_so(tmp_path: Path) -> None:
    one = pair(tmp_path, student=MLP, teacher=MLP, data=MOONS, steps=(1, 40))
    assert one.student.net
    row = differing(one)
    with torch.no_grad():
        for parameter in one.student.net.parameters():
            parameter.zero_()
        one.student.net.head.bias.copy_(torch.tensor([0.0, 1.0]))
    assert one.teacher
    while int(one.teacher.logits(one.row(row)).argmax()) == 1:
        row += 1
    told = smallest.answer(one, {"row": row})
    assert (told["found"], told["steps"]) == (False, smallest.MOST)
    assert "changed" not in told


def test_who_is_missing_is_a_sentence(tmp_path: Path) -> None:
    alone = pair(tmp_path, teacher=None, steps=(1, 1))
    with pytest.raises(BadInput, match="no teacher"):
        smallest.answer(alone, {"row": 0})
    with pytest.raises(BadInput, match="no teacher"):
        way.answer(alone, {"row": 0, "to": "teacher"})
    assert way.answer(alone, {"row": 0, "to": "student"})["end"]["training"]


def test_a_drawing_of_a_row_is_answered_like_the_row(digits: ComparedPair) -> None:
    told = drawn.answer(digits, {"pixels": digits.row(11)[0].tolist()})
    assert told == drawn.answer(digits, {"row": 11})
    expected = digits.student.logits(digits.row(11))[0].double().softmax(0)
    assert told["student"]["probability"] == pytest.approx(expected.tolist(), abs=1e-5)
    assert told["student"]["answer"] == int(expected.argmax())


@pytest.mark.parametrize(
    ("pixels", "said"),
    [
        ("ink", "something else"),
        ([[1, 2], [3]], "something else"),
        ([[[0] * 8] * 7], r"shape \(1, 7, 8\)"),
        ([[[0] * 8] * 7 + [[0] * 7 + [256]]], "such as 256"),
        ([[[0] * 8] * 7 + [[0] * 7 + [0.5]]], "such as 0.5"),
        ([[[0] * 8] * 7 + [[0] * 7 + [float("nan")]]], "not finite"),
    ],
)
def test_what_is_no_drawing_is_one_sentence(digits: ComparedPair, pixels: Any, said: str) -> None:
    with pytest.raises(BadInput, match=said) as caught:
        drawn.answer(digits, {"pixels": pixels})
    assert "1 x 8 x 8 whole numbers from 0 to 255" in str(caught.value)


def test_a_point_may_lie_anywhere(tmp_path: Path) -> None:
    one = pair(tmp_path, student=MLP, teacher=None, data=MOONS)
    told = drawn.answer(one, {"pixels": [-3.5, 40.0]})
    assert sum(told["student"]["probability"]) == pytest.approx(1.0)
    with pytest.raises(BadInput, match="2 numbers"):
        drawn.answer(one, {"pixels": [1.0]})
