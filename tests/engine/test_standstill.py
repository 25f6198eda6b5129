"""A run that has learned nothing says so at its end, with what chance gives; one that has learned does not."""

from math import log
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from kdcore.engine.standstill import at_least, standstill
from kdcore.engine.train import train
from kdcore.events import Finished, Score
from kdcore.spec.schedule import Schedule
from kdcore.spec.spec import Choice, Spec

TEN = np.repeat(np.arange(10), 40)


@pytest.mark.parametrize(
    ("accuracy", "nll", "stuck"),
    [
        (0.1, log(10), True),
        (0.12, 2.35, True),  # a network that has not learned may be right by luck, and begins a little above
        (0.2, 2.35, False),  # but 80 of 400 are no luck
        (0.1, float("nan"), True),
        (0.1, 40.0, True),  # it ran away
        (0.5, 2.4, False),  # too sure of itself, but it has learned
        (0.25, 5.0, False),
        (0.2, 2.1, False),
    ],
)
def test_no_better_than_chance(accuracy: float, nll: float, stuck: bool) -> None:
    found = standstill(Score(accuracy=accuracy, nll=nll, ece=0.0), TEN)
    assert found == (pytest.approx({"chance_accuracy": 0.1, "chance_nll": log(10)}) if stuck else {})


def test_a_small_test_set_is_judged_by_its_count() -> None:
    """20 of 36 where chance gives 12 have p < .005; a loss a quarter below chance was learned, whatever the count."""
    three = np.repeat(np.arange(3), 12)
    assert binomtest(20, 36, 1 / 3, "greater").pvalue < 0.005
    for right, nll, stuck in ((20, 0.81, False), (20, 1.1, False), (14, 0.81, False), (16, 1.1, True), (12, 1.2, True)):
        assert bool(standstill(Score(accuracy=right / 36, nll=nll, ece=0.0), three)) == stuck, (right, nll)


@pytest.mark.parametrize("rows", [36, 360, 2000])
def test_what_was_planted_is_found(rows: int) -> None:
    """Of students that answer by chance nearly all are told; of those twenty points above it, on a fair number of rows,
    hardly any, though their loss be that of chance."""
    random, labels = np.random.default_rng(0), np.arange(rows) % 3

    def told(accuracy: float) -> float:
        right = random.binomial(rows, accuracy, 1000) / rows
        return float(np.mean([bool(standstill(Score(accuracy=one, nll=1.1, ece=0.0), labels)) for one in right]))

    assert told(1 / 3) > 0.98
    assert told(1 / 3 + 0.2) < (0.55 if rows < 100 else 0.001)


def test_chance_knows_how_frequent_classes_are() -> None:
    labels = np.repeat([0, 1], [90, 10])
    found = standstill(Score(accuracy=0.9, nll=0.33, ece=0.0), labels)
    assert found == pytest.approx({"chance_accuracy": 0.9, "chance_nll": -0.9 * log(0.9) - 0.1 * log(0.1)})


def result(folder: Path, schedule: Schedule) -> dict[str, float]:
    spec = Spec(
        data=Choice(name="digits"), student=Choice(name="cnn", knobs={"width": 8}), method=Choice(name="ce"),
        schedule=schedule,
    )  # fmt: skip
    *_, last = train(spec, folder)
    assert isinstance(last, Finished)
    return last.result


@pytest.mark.parametrize("rate", [1e-6, 10.0])
def test_a_learning_rate_at_which_nothing_is_learned(tmp_path: Path, rate: float) -> None:
    found = result(tmp_path, Schedule(steps=60, batch=32, lr=rate))
    assert found["learning_rate"] == rate
    assert found["chance_nll"] == pytest.approx(log(10), abs=0.01)
    assert found["chance_accuracy"] == pytest.approx(0.1, abs=0.01)


def test_a_run_that_learns_is_not_called_so(tmp_path: Path) -> None:
    assert "chance_nll" not in result(tmp_path, Schedule(steps=60, batch=32, lr=0.05))


@pytest.mark.parametrize(
    ("wins", "of", "share"), [(0, 5, 0.3), (5, 5, 0.3), (37, 360, 0.1), (1080, 10_000, 0.1), (9, 9, 1.0)]
)
def test_the_tail_of_a_binomial_is_scipys(wins: int, of: int, share: float) -> None:
    assert at_least(wins, of, share) == pytest.approx(binom.sf(wins - 1, of, share), rel=1e-9)
