"""The copies test: its numbers against slow references, copies it must find, honest generators it must leave alone."""

import time
from collections.abc import Callable
from math import inf

import numpy as np
import pytest
import torch
from copy_rates import COPIES, HONEST, SHARES, Case, Parts, flagged, interval, measure, mixed, parts, rendered, scanned
from scipy.stats import binom, nhypergeom
from torch import Tensor

from kdcore.engine.copy_test import LEVEL, CopyTest, at_least, preceding
from kdcore.engine.generator_metrics import copy_facts
from kdcore.probes.copies import LEVEL as SAID
from kdcore.probes.copies import judged

torch.set_num_threads(1)
SMALL = Case("rendered", lambda: rendered(2000), 130, 300)


def drawn(local: int = 130, held: int = 300, seed: int = 0) -> Parts:
    return parts(rendered(2000), local, held, torch.Generator().manual_seed(seed))


def slow(image: np.ndarray, real: np.ndarray) -> float:
    """The smallest distance over all shifts by up to a pixel, of all real images."""
    found = inf
    for other in real:
        for down in range(3):
            for right in range(3):
                part = other[:, down : down + image.shape[1] - 2, right : right + image.shape[2] - 2]
                found = min(found, float(np.sqrt(((image[:, 1:-1, 1:-1] / 255 - part / 255) ** 2).mean())))
    return found


def test_distances_are_those_of_a_loop() -> None:
    cut = drawn(12, 12)  # as many as there are candidates, so that none is missed
    gaps = CopyTest(cut.local, cut.held).gaps(cut.fresh.x[:5])
    for place in range(5):
        image = cut.fresh.x[place].numpy().astype(float)
        assert float(gaps.local[place]) == pytest.approx(slow(image, cut.local.numpy().astype(float)), rel=1e-4)
        assert float(gaps.held[place]) == pytest.approx(slow(image, cut.held.numpy().astype(float)), rel=1e-4)


@pytest.mark.parametrize(("of", "rank", "size"), [(128, 1, 50), (128, 3, 300), (512, 5, 500)])
def test_counts_before_a_rank_are_negative_hypergeometric(of: int, rank: int, size: int) -> None:
    for count in (0, 1, 5, 17):
        expected = float(nhypergeom(of + size, of, rank).sf(count - 1))
        assert preceding(count, of, rank, size) == pytest.approx(expected, rel=1e-9)
    assert preceding(of + 1, of, rank, size) == 0


def test_wins_are_binomial() -> None:
    for wins, of, share in ((0, 5, 0.3), (5, 5, 0.3), (90, 128, 0.5), (400, 512, 0.9), (1, 1, 1.0)):
        assert at_least(wins, of, share) == pytest.approx(float(binom(of, share).sf(wins - 1)), abs=1e-12)


def test_levels_are_the_same_on_both_sides() -> None:
    assert LEVEL == SAID


@pytest.mark.parametrize("kind", COPIES)
def test_a_generator_that_only_copies_is_found_by_matches(kind: str) -> None:
    cut, chance = drawn(), torch.Generator().manual_seed(1)
    found = CopyTest(cut.local, cut.held)(COPIES[kind](cut.local, 128, chance))
    assert found.matches.sum() >= (128 if kind.startswith("exact") else 13)


@pytest.mark.parametrize("kind", HONEST)
def test_an_honest_generator_matches_nothing(kind: str) -> None:
    cut, chance = drawn(), torch.Generator().manual_seed(1)
    assert not CopyTest(cut.local, cut.held)(HONEST[kind](cut.fresh, 128, chance)).matches.any()


def test_one_exact_copy_is_enough_and_is_named() -> None:
    cut = drawn()
    made = cut.fresh.x[:128].clone()
    made[77] = cut.local[5]
    found = CopyTest(cut.local, cut.held)(made)
    assert found.matches.nonzero().flatten().tolist() == [77]
    assert found.local[77] == 0


def test_many_synthetic_images_around_one_real_image_count_once_in_the_sign_test() -> None:
    cut = drawn(300, 300)
    found = CopyTest(cut.local, cut.held)(cut.local[:1].repeat(100, 1, 1, 1))
    assert (found.nearest, found.p_sign) == ((1, 0), 0.5)
    assert found.matches.all()


def test_a_held_out_image_that_equals_a_local_one_hides_no_copy() -> None:
    """A folder that holds a file twice: its twin was not held out, and says nothing of what chance gives."""
    cut = drawn()
    held = torch.cat([cut.held, cut.local[:3]])
    made = cut.fresh.x[:128].clone()
    made[[7, 77]] = cut.local[[2, 5]]
    found = CopyTest(cut.local, held)(made)
    assert (found.twins, found.references) == (3, 303)
    assert found.matches.nonzero().flatten().tolist() == [77]  # the other equals a held-out image as well
    assert found.same.nonzero().flatten().tolist() == [7, 77]  # and still shows a local one
    everything = CopyTest(cut.local, held)(cut.local[5:])
    assert everything.matches.all()


def test_all_of_the_edge_is_searched() -> None:
    cut = drawn(600, 300)
    for place in (0, 299, 599):
        assert CopyTest(cut.local, cut.held)(cut.local[place][None]).matches.all()


def test_rates_of_few_trials_hold_the_level_and_find_copies() -> None:
    trials = 4
    rates = measure(SMALL, trials)
    assert sum(rates.honest.values()) <= 3  # of 20; more than 3 has probability 0.016 at 5 %
    for kind in COPIES:
        assert rates.planted[kind, 1.0] == trials
        assert rates.planted[kind, 0.1] >= trials - 1
    assert rates.finds[0] < 0.02
    assert rates.finds[1] < 0.1


def test_small_images_of_eight_by_eight() -> None:
    rates = measure(Case("digits", scanned, 130, 300), 3)
    assert sum(rates.honest.values()) <= 3  # of 15
    assert all(rates.planted[kind, 1.0] == 3 for kind in COPIES)


def test_where_held_out_images_are_copies_too_nothing_can_be_found() -> None:
    """Data of few distinct images: what looks like a copy is how these data are."""
    cut = drawn(60, 60)
    doubled = torch.cat([cut.local, cut.held])
    chance = torch.Generator().manual_seed(3)
    local = doubled[torch.randint(120, (300,), generator=chance)]
    held = doubled[torch.randint(120, (300,), generator=chance)]
    found = CopyTest(local, held)(doubled[torch.randint(120, (128,), generator=chance)])
    assert not found.matches.any()
    assert found.finds_altered == inf


def test_the_power_that_is_claimed_is_there() -> None:
    """What the test says of itself holds for shares that it names, within chance."""
    cut, wins, trials = drawn(), 0, 40
    test, chance = CopyTest(cut.local, cut.held), torch.Generator().manual_seed(0)
    base = test.gaps(cut.fresh.x[:128])
    claimed = test.judge(base).finds_altered
    copied = test.gaps(COPIES["shifted and noisy"](cut.local, 128, chance))
    for _ in range(trials):
        wins += flagged(test.judge(mixed(copied, base, torch.rand(128, generator=chance) < claimed)))
    assert interval(wins, trials)[1] > 0.8


def test_it_is_quick_enough_to_follow_a_run() -> None:
    chance = torch.Generator().manual_seed(0)
    local, held, made = (
        torch.randint(256, (count, 1, 28, 28), generator=chance, dtype=torch.uint8) for count in (5401, 6000, 128)
    )
    test = CopyTest(local, held)
    began = time.process_time()
    test(made)
    assert time.process_time() - began < 5  # half a second on an idle core


@pytest.mark.parametrize("seen_as", [lambda x: x.flip(3), lambda x: 255 - x], ids=["mirrored", "inverted"])
def test_mirrored_and_inverted_copies_pass_and_the_verdict_says_so(seen_as: Callable[[Tensor], Tensor]) -> None:
    """Not one is a match, so no verdict may be read as if such copies had been sought."""
    cut = drawn()
    found = CopyTest(cut.local, cut.held)(seen_as(cut.local[:128]))
    assert not found.matches.any()
    notes = {name[5:]: float(value) for name, value in copy_facts(found, cut.local, cut.held).items() if "note" in name}
    assert (notes["copies_local"], notes["copies_held"]) == (130, 300)
    assert notes["copies_nearest"] == sum(found.nearest)
    assert "Mirrored and inverted copies are not looked for." in judged(notes).power


@pytest.mark.soak
@pytest.mark.parametrize("local", [130, 600, 5401])
def test_rates(local: int) -> None:
    """The level is held and planted copies are found; `copy_rates.py` writes the tables."""
    trials = 25
    rates = measure(Case("rendered", rendered, local, 600), trials)
    assert interval(sum(rates.honest.values()), trials * len(HONEST))[0] <= 0.05
    for kind in COPIES:
        assert all(rates.planted[kind, share] == trials for share in SHARES if share == 1.0)
        assert interval(rates.planted[kind, 0.1], trials)[1] >= 0.8  # the power that is claimed, but for luck
