"""What was planted in the data is found in at least nine of ten seeds, and nothing where nothing was.

`pytest tests/cases/test_planted_truths.py -s` prints the rates, with `-m soak` those of fifty seeds on which nothing
was set: neither the plants nor the thresholds.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from planted import (
    MARKED,
    NOISY,
    NOISY_CLASS,
    NOTHING,
    SEEDS,
    SPURIOUS,
    STARVED,
    STARVED_CLASS,
    UNDER_TRAINED,
    planted,
)

from kdcore.comparison.case import Case
from kdcore.comparison.findings import concentrations, gains
from kdcore.comparison.slices import conditions, halves, search, slices

PLANTS = {"nothing": NOTHING, "noisy class": NOISY_CLASS, "spurious": SPURIOUS, "starved class": STARVED_CLASS,
          "under-trained": UNDER_TRAINED}  # fmt: skip
LEAST = 0.9  # of the seeds
UNSEEN = range(200, 250)


@cache
def cases(name: str, seeds: range = SEEDS) -> list[Case]:
    folder = TemporaryDirectory()
    _kept.append(folder)
    return planted(Path(folder.name), PLANTS[name], seeds)


_kept: list[TemporaryDirectory[str]] = []


@pytest.fixture(autouse=True, scope="module")
def _tidy() -> object:
    yield
    for folder in _kept:
        folder.cleanup()


def told(name: str, found: list[bool]) -> float:
    """The share of seeds, after printing it."""
    print(f"\n{name}: {sum(found)} of {len(found)}")
    return sum(found) / len(found)


def any_slice(case: Case, condition: str) -> bool:
    """Whether a condition is part of a slice that is found."""
    return any(condition in one.select.split(";") for one in slices(case).slices)


def blames(case: Case, cause: str, answer: int) -> bool:
    """Whether a cause stands out in that class and in no other."""
    return {one.answer for one in concentrations(case) if one.cause == cause} == {answer}


def gained(case: Case, kind: str) -> bool:
    return any(one.stands_out for one in gains(case) if one.kind == kind)


def permuted(case: Case) -> bool:
    """Whether no slice is found where the same KL is dealt to the rows by chance."""
    kl = np.random.default_rng(3).permutation(case.rows.kl)
    half = halves(len(kl), 0)
    return not search(kl, conditions(case, half), half).slices


TRUTHS: dict[str, tuple[str, Callable[[Case], bool]]] = {
    "noisy class, cause": ("noisy class", lambda case: blames(case, "label_suspect", NOISY)),
    "noisy class, slice": ("noisy class", lambda case: any_slice(case, f"teacher={NOISY}")),
    "spurious mark, slice": ("spurious", lambda case: any_slice(case, "mark=1")),
    "starved class, cause": ("starved class", lambda case: blames(case, "off_support", STARVED)),
    "starved class, slice": (
        "starved class",
        lambda case: any_slice(case, f"teacher={STARVED}") or any_slice(case, f"true={STARVED}"),
    ),
    "under-trained, cause": ("under-trained", lambda case: gained(case, "longer")),
    "nothing, no cause stands out": (
        "nothing",
        lambda case: not concentrations(case) and not any(one.stands_out for one in gains(case)),
    ),
    "nothing, no slice": ("nothing", lambda case: not slices(case).slices),
    "nothing, no slice of permuted KL": ("nothing", permuted),
}


@pytest.mark.parametrize("truth", TRUTHS)
def test_truths_are_found_and_nothing_else(truth: str) -> None:
    name, found = TRUTHS[truth]
    assert told(truth, [found(case) for case in cases(name)]) >= LEAST


@pytest.mark.soak
@pytest.mark.parametrize("truth", TRUTHS)
def test_truths_are_found_with_seeds_that_nothing_was_set_on(truth: str) -> None:
    name, found = TRUTHS[truth]
    assert told(truth, [found(case) for case in cases(name, UNSEEN)]) >= LEAST


def test_a_mark_that_means_nothing_is_no_slice() -> None:
    assert told("no mark", [not any_slice(case, "mark=1") for case in cases("nothing")]) >= LEAST


def test_the_spurious_class_is_what_the_student_says_there() -> None:
    """The plant itself: marked rows of other classes are called the marked class more often."""
    for case in cases("spurious"):
        other, mark = case.rows.labels != MARKED, case.columns["mark"] == 1
        said = case.rows.student_top == MARKED
        assert said[other & mark].mean() > said[other & ~mark].mean()
