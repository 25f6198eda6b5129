"""One row under both models: worked numbers, what the parts of the distance add up to, and the edges."""

from __future__ import annotations

from math import log
from pathlib import Path

import numpy as np
import pytest
import torch
from case_factory import case, random_case
from hypothesis import given
from hypothesis import strategies as st

from app.panels import View, panel
from app.panels.cases.classes import lines
from kdcore.comparison.sample import gap, sample
from kdcore.methods.dkd import dkd_losses


def test_by_hand(tmp_path: Path) -> None:
    """Teacher (1/2, 1/4, 1/4), student (1/4, 1/4, 1/2), the label is class 0."""
    known = case(tmp_path, np.array([0]), np.log([[1, 1, 2]]), np.log([[2, 1, 1]]))
    found = sample(known.rows, 0, 1.0)
    assert found.teacher
    assert found.gap
    assert (found.teacher.answer, found.student.answer) == (0, 2)
    assert (found.teacher.label_rank, found.student.label_rank) == (1, 2)
    assert found.teacher.rank.tolist() == [1, 2, 2]
    assert found.teacher.probability == pytest.approx([0.5, 0.25, 0.25])
    assert (found.teacher.margin, found.teacher.entropy) == pytest.approx((0.25, 1.5 * log(2)))
    assert found.gap.whole == pytest.approx(0.25 * log(2))
    assert found.gap.target == pytest.approx(0.5 * log(2) + 0.5 * log(2 / 3))
    assert found.gap.others == pytest.approx(0.5 * log(1.5) + 0.5 * log(0.75))
    assert found.gap.weight == pytest.approx(0.5)


@given(st.integers(0, 10**6), st.integers(2, 12), st.floats(0.1, 40), st.floats(0.2, 20))
def test_the_parts_add_up_to_the_whole(seed: int, classes: int, scale: float, temperature: float) -> None:
    teacher, student = np.random.default_rng(seed).normal(scale=scale, size=(2, classes))
    found = gap(teacher, student, seed % classes, temperature)
    assert found.target + found.rest == pytest.approx(found.whole, abs=1e-5, rel=1e-9)
    assert min(found.target, found.others, found.weight) >= 0


@given(st.integers(0, 99), st.integers(0, 4), st.floats(0.5, 8))
def test_they_are_the_parts_that_decoupled_distillation_weighs(seed: int, target: int, temperature: float) -> None:
    teacher, student = np.random.default_rng(seed).normal(scale=3, size=(2, 5))
    ours, theirs = (torch.from_numpy(one)[None] for one in (student, teacher))
    target_part, others = dkd_losses(ours, theirs, torch.tensor([target]), temperature)
    found = gap(teacher, student, target, temperature)
    assert found.target * temperature**2 == pytest.approx(target_part.item(), rel=1e-3, abs=1e-4)  # theirs is float32
    assert found.others * temperature**2 == pytest.approx(others.item(), rel=1e-3, abs=1e-4)  # theirs is float32


def test_a_temperature_softens_and_changes_no_rank(tmp_path: Path) -> None:
    rows = random_case(tmp_path).rows
    sharp, soft = sample(rows, 5, 0.5), sample(rows, 5, 10.0)
    assert sharp.student.rank.tolist() == soft.student.rank.tolist()
    assert sharp.student.entropy < soft.student.entropy
    assert sharp.student.margin > soft.student.margin


def test_of_many_classes_the_likeliest_of_either_and_the_label_are_shown(tmp_path: Path) -> None:
    student, teacher = np.zeros((1, 100)), np.zeros((1, 100))
    student[0, 70], teacher[0, 30] = 9.0, 8.0
    found = sample(case(tmp_path, np.array([99]), student, teacher).rows, 0, 4.0)
    assert {70, 30, 99} <= set(found.shown.tolist())
    assert (len(found.shown), found.hidden) == (21, 79)
    assert found.student.probability.sum() < 1


def test_without_label_teacher_or_numbers_it_still_speaks(tmp_path: Path) -> None:
    student, teacher = np.array([[0.0, 2.0], [np.nan, 1.0]]), np.array([[3.0, 0.0], [0.0, 1.0]])
    unlabelled = case(tmp_path / "a", np.array([-1, -1]), student, teacher)
    found = sample(unlabelled.rows, 0, 1.0)
    assert (found.label, found.target, found.student.label_rank) == (-1, 0, None)
    assert "no label" in lines(found, unlabelled.classes)[0]
    assert sample(unlabelled.rows, 1, 1.0).student.answer == -1
    alone = sample(case(tmp_path / "b", np.array([1, 0]), student).rows, 7, 1.0)
    assert (alone.row, alone.teacher, alone.gap) == (1, None, None)


def test_the_panels_draw_the_pinned_row_and_the_one_beside(tmp_path: Path) -> None:
    known = random_case(tmp_path, classes=4)
    view = View(sample=3, beside=8, temperature=2.0)
    first, second = (panel(f"case-{name}").draw(known, view) for name in ("classes", "beside"))
    assert "row 3 " in first["layout"]["annotations"][0]["text"]
    assert "row 8 " in second["layout"]["annotations"][0]["text"]
    assert [bar["name"] for bar in first["data"]] == ["teacher", "teacher", "student", "student"]
    rows = known.rows
    assert rows.teacher is not None
    shown = panel("case-classes").table(known, view)
    assert shown["teacher_logit"] == pytest.approx(rows.teacher[3].tolist())
    assert sum(shown["student_probability"]) == pytest.approx(1.0)
    assert shown["is_label"].index(True) == rows.labels[3]
    assert panel("case-beside").table(known, view)["student_logit"] == pytest.approx(rows.student[8].tolist())
