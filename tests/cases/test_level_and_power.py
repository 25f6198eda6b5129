"""Statistics of a comparison that carry a sentence: how often each speaks where nothing is, and where something is.

    slices                        tests/cases/test_slices.py (200 draws of nothing, planted conditions and pairs)
    causes that stand out, gains  here with made-up answers; test_planted_truths.py with trained networks
    scores and their intervals    tests/cases/test_score_intervals.py
    too sure or too shy           here: the temperature's test
    inherited calibration         here: the correlation's interval
    too sure of which class       here: the interval of the gap
    more steps: more, fewer right here: McNemar's test over all lines

`pytest -s` prints the rates.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from case_factory import case

from kdcore.comparison.calibration import by_answer, forecast
from kdcore.comparison.calibration_inheritance import Groups, inherited
from kdcore.comparison.case import Case, Rows
from kdcore.comparison.findings import concentrations, gains
from kdcore.comparison.temperature_scaling import off
from kdcore.comparison.training_effect import effects
from kdcore.probes._numerics import log_softmax

LEVEL = 0.05


def rate(name: str, told: list[bool]) -> float:
    """The share of draws in which something was said, after printing it."""
    print(f"\n{name}: {np.mean(told):.3f} of {len(told)}")
    return float(np.mean(told))


# Too sure or too shy


def said_off(temperature: float, rows: int, draws: int) -> float:
    """How often logits are called off whose softmax at that temperature is the truth."""
    rng, told = np.random.default_rng(0), []
    for _ in range(draws):
        logits = 2 * rng.normal(size=(rows, 5))
        truth = np.exp(log_softmax(logits, temperature))
        labels = (truth.cumsum(1) > rng.random((rows, 1))).argmax(1)
        told.append(off(logits, labels) <= LEVEL)
    return rate(f"off at T = {temperature:g}, {rows} rows", told)


def test_a_calibrated_student_is_rarely_called_too_sure_or_too_shy() -> None:
    assert said_off(1.0, 30, 400) <= 0.08
    assert said_off(1.0, 1000, 400) <= 0.08


def test_a_student_that_is_too_sure_or_too_shy_is_called_so() -> None:
    assert said_off(1.5, 500, 100) >= 0.95
    assert said_off(0.67, 500, 100) >= 0.95


def test_nothing_is_said_of_rows_without_labels() -> None:
    assert np.isnan(off(np.ones((3, 4)), np.full(3, -1)))


# Inherited calibration


def said_inherited(link: float, groups: int, rows: int, draws: int) -> float:
    """How often the interval leaves out 0 where the gaps of both models go together by `link`."""
    rng, told, place = np.random.default_rng(0), [], np.repeat(np.arange(groups), rows)
    for _ in range(draws):
        theirs = rng.normal(size=groups)
        ours = link * theirs + np.sqrt(1 - link**2) * rng.normal(size=groups)
        right = [rng.random(len(place)) < np.clip(0.8 + 0.1 * gaps[place], 0, 1) for gaps in (theirs, ours)]
        found = inherited(np.stack(right) - 0.8, Groups(True, np.zeros(0), place, np.arange(groups)))
        assert not found.low > found.correlation
        assert not found.high < found.correlation
        told.append(found.low > 0 or found.high < 0)
    return rate(f"inherited, link {link:g}, {groups} groups of {rows}", told)


@pytest.mark.parametrize("groups", [5, 10, 15])
def test_gaps_that_have_nothing_in_common_are_rarely_called_inherited(groups: int) -> None:
    assert said_inherited(0.0, groups, 200, 300) <= 0.08


def test_gaps_that_go_together_are_called_inherited() -> None:
    assert said_inherited(0.9, 15, 1000, 60) >= 0.95
    assert said_inherited(0.9, 8, 1000, 100) >= 0.65


# Over- and under-confidence by predicted class


@pytest.mark.parametrize("rows", [6, 30, 300])
def test_the_gap_of_a_class_lies_in_its_interval(rows: int) -> None:
    """Confidences that are true: the gap is 0; one that is .2 too high is seen in 300 rows."""
    rng = np.random.default_rng(0)

    def gaps(lean: float) -> np.ndarray:
        told = []
        for _ in range(300):
            sure = rng.uniform(0.6, 0.95, rows)
            labels = (rng.random(rows) > sure - lean).astype(np.int64)
            found = by_answer(forecast(np.log(np.stack([sure, 1 - sure], 1)), labels))
            assert found.low[0] <= found.gap[0] <= found.high[0]
            told.append([found.low[0], found.high[0]])
        return np.array(told)

    fair = gaps(0.0)
    assert rate(f"off, {rows} rows", list((fair[:, 0] > 0) | (fair[:, 1] < 0))) <= 0.08
    if rows == 300:
        assert rate("too sure by 0.2", list(gaps(0.2)[:, 1] < 0)) >= 0.95


# More steps


def said_changed(helped: float, draws: int) -> float:
    """How often a difference is named on any line; `helped` of the slice's wrong rows become right, besides noise."""
    rng, told, index = np.random.default_rng(0), [], np.arange(1000)
    for _ in range(draws):
        labels = rng.integers(0, 5, 1000)
        answers = np.where(rng.random(1000) < 0.7, labels, (labels + 1) % 5)
        meant = index < 200
        after = np.where(rng.random(1000) < 0.1, np.where(rng.random(1000) < 0.7, labels, (labels + 1) % 5), answers)
        after = np.where(meant & (rng.random(1000) < helped), labels, after)
        eye = np.eye(5, dtype=np.float32)
        rows = Rows(labels, eye[answers], None, index, index[:0])
        found = effects(rows, eye[after], meant, tuple("abcde"))
        told.append(any(one.p <= LEVEL for one in found) if helped == 0 else found[0].p <= LEVEL)
    return rate(f"more steps help {helped:g}", told)


def test_steps_that_only_shuffle_answers_are_rarely_said_to_have_changed_anything() -> None:
    assert said_changed(0.0, 200) <= 0.08


def test_steps_that_help_are_said_to() -> None:
    assert said_changed(0.6, 60) >= 0.95


# What stands out among the causes


def answered(
    folder: Path, seed: int, longer: float, hit: float = 0.0, rows: int = 1000, classes: int = 5, spoilt: float = 0.02
) -> Case:
    """A student and three of its recipe that say the teacher's answer in 85 of 100 rows, each alone; a longer run that
    does so in `longer`. Of the labels a share `spoilt` is another one, of the teacher's class 0 a share `hit`."""
    rng = np.random.default_rng(seed)
    teacher = rng.integers(0, classes, rows)

    def like(share: float) -> np.ndarray:
        return np.where(rng.random(rows) < share, teacher, (teacher + rng.integers(1, classes, rows)) % classes)

    told = {"seeds": np.stack([like(0.85) for _ in range(3)]), "longer": like(longer)[None]}
    witnesses = {f"{kind}_answers": answers for kind, answers in told.items()}
    witnesses |= {f"{kind}_confidence": np.ones(answers.shape) for kind, answers in told.items()}
    witnesses |= {f"{kind}_runs": np.array(["run"] * len(answers)) for kind, answers in told.items()}
    spoiled = rng.random(rows) < np.where(teacher == 0, max(hit, spoilt), spoilt)
    labels = np.where(spoiled, (teacher + 1) % classes, teacher)
    eye = 9 * np.eye(classes)
    return case(folder / str(seed), labels, eye[like(0.85)], eye[teacher], witnesses=witnesses)


def test_a_witness_of_the_same_recipe_rarely_stands_out(tmp_path: Path) -> None:
    told = [any(one.stands_out for one in gains(answered(tmp_path, seed, 0.85))) for seed in range(150)]
    assert rate("a longer run as good as seeds", told) <= 0.08


def test_a_witness_that_does_better_stands_out(tmp_path: Path) -> None:
    told = [any(one.stands_out for one in gains(answered(tmp_path, seed, 0.95))) for seed in range(40)]
    assert rate("a longer run that agrees in 95 of 100", told) >= 0.95


@pytest.mark.parametrize(
    ("rows", "classes", "spoilt", "draws"), [(1000, 5, 0.02, 150), (520, 26, 0.01, 100), (2000, 100, 0.01, 60)]
)
def test_causes_that_are_everywhere_alike_rarely_stand_out(
    tmp_path: Path, rows: int, classes: int, spoilt: float, draws: int
) -> None:
    made = (answered(tmp_path, seed, 0.85, 0.0, rows, classes, spoilt) for seed in range(draws))
    assert rate(f"causes spread evenly over {classes} classes", [bool(concentrations(one)) for one in made]) <= 0.08


def test_few_rows_of_a_cause_in_many_classes_rarely_stand_out(tmp_path: Path) -> None:
    """Without witnesses most causes are unknown, so that those of a few spoilt labels are all there is to tell."""

    def alone(seed: int) -> Case:
        rng = np.random.default_rng(seed)
        teacher, eye = np.repeat(np.arange(100), 20), 9 * np.eye(100)
        labels = np.where(rng.random(2000) < 0.01, rng.integers(0, 100, 2000), teacher)
        student = np.where(rng.random(2000) < 0.1, rng.integers(0, 100, 2000), teacher)
        return case(tmp_path / str(seed), labels, eye[student], eye[teacher])

    told = [bool(concentrations(alone(seed))) for seed in range(100)]
    assert rate("a few spoilt labels over 100 classes", told) <= 0.08


def test_a_cause_that_one_class_has_far_more_often_stands_out(tmp_path: Path) -> None:
    def blamed(seed: int) -> bool:
        found = concentrations(answered(tmp_path, seed, 0.85, hit=0.6))
        return bool(found) and {one.answer for one in found} == {0} and all(one.of > one.rows for one in found)

    assert rate("spoiled labels of one class", [blamed(seed) for seed in range(40)]) >= 0.95
