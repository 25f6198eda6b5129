"""How often the copies test flags honest generators and planted copies.

`python tests/engine/copy_rates.py [--trials N] [--mnist FOLDER] [--out FILE]` measures all rates and writes them as
Markdown. FOLDER holds MNIST as `torchvision.datasets.MNIST` keeps it; without it, rendered and scanned digits are used.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from kdcore.contracts.data import silent
from kdcore.engine.build import dataset
from kdcore.engine.copy_test import CopyDistances, CopyTest, Gaps, altered
from kdcore.probes.copies import FEWEST, LEVEL
from kdcore.spec.spec import Choice

SHARES = (0.01, 0.03, 0.1, 1.0)
TRIALS = 20
JUDGED = 128  # synthetic images; a generator at rest is judged by 512
Z = 1.959964  # of a 95 % interval


class Pool(NamedTuple):
    """Real images of one kind, and their classes."""

    x: Tensor  # (N, K, H, W) uint8
    y: Tensor  # (N,)


class Parts(NamedTuple):
    """What one trial draws from a pool."""

    local: Tensor
    held: Tensor
    fresh: Pool  # images that are neither


class Case(NamedTuple):
    """One edge."""

    name: str
    pool: Callable[[], Pool]
    local: int
    held: int


@cache
def rendered(count: int = 14_000, seed: int = 7) -> Pool:
    """Rendered digits of every style."""
    knobs = {"samples": count, "style": 1.0, "seed": seed}
    return _of(Choice(name="rendered", knobs=knobs))


@cache
def scanned() -> Pool:
    """The 1,797 handwritten digits of 8 x 8 pixels."""
    return _of(Choice(name="digits"))


def _of(choice: Choice) -> Pool:
    from kdcore.spec.registry import DATA

    data = dataset(Choice(name=choice.name, knobs=DATA[choice.name](**choice.knobs).model_dump()), Path(), silent)
    splits = (data.train, data.val, data.test)
    return Pool(*(torch.cat([torch.from_numpy(getattr(one, part)) for one in splits]) for part in ("x", "y")))


def mnist(folder: str) -> Pool:
    """All 70,000 images of MNIST."""
    from torchvision.datasets import MNIST

    both = [MNIST(folder, train=train) for train in (True, False)]
    return Pool(torch.cat([one.data for one in both])[:, None], torch.cat([one.targets for one in both]))


def parts(pool: Pool, local: int, held: int, chance: torch.Generator) -> Parts:
    """Local, held-out and fresh images, drawn without replacement."""
    order = torch.randperm(len(pool.x), generator=chance)
    edge, beside, rest = order[:local], order[local : local + held], order[local + held :]
    return Parts(pool.x[edge], pool.x[beside], Pool(pool.x[rest], pool.y[rest]))


# Generators


def _drawn(fresh: Pool, count: int, chance: torch.Generator) -> Tensor:
    return fresh.x[torch.randint(len(fresh.x), (count,), generator=chance)]


def _of_class(fresh: Pool, count: int, chance: torch.Generator, label: int = 1) -> Tensor:
    """A generator that makes one class alone."""
    rows = fresh.x[fresh.y == label]
    return rows[torch.randperm(len(rows), generator=chance)[:count]]


def _blurred(fresh: Pool, count: int, chance: torch.Generator) -> Tensor:
    return F.avg_pool2d(_drawn(fresh, count, chance).float(), 3, 1, 1).round().to(torch.uint8)


def _means(fresh: Pool, count: int, chance: torch.Generator) -> Tensor:
    """Means of twenty images of a class."""
    labels = torch.randint(10, (count,), generator=chance)
    return torch.stack([_drawn(_only(fresh, int(one)), 20, chance).float().mean(0) for one in labels]).to(torch.uint8)


def _only(fresh: Pool, label: int) -> Pool:
    kept = fresh.y == label
    return Pool(fresh.x[kept], fresh.y[kept])


def _noise(fresh: Pool, count: int, chance: torch.Generator) -> Tensor:
    return torch.randint(256, (count, *fresh.x.shape[1:]), generator=chance, dtype=torch.uint8)


HONEST: dict[str, Callable[[Pool, int, torch.Generator], Tensor]] = {
    "independent draws": _drawn,
    "one class alone": _of_class,
    "blurred draws": _blurred,
    "means of a class": _means,
    "noise": _noise,
}


def _few(local: Tensor, count: int, chance: torch.Generator) -> Tensor:
    return local[torch.randint(3, (count,), generator=chance)]


def _sources(local: Tensor, count: int, chance: torch.Generator) -> Tensor:
    return local[torch.randint(len(local), (count,), generator=chance)]


def _moved(local: Tensor, count: int, chance: torch.Generator) -> Tensor:
    """Each shifted by one pixel in one of four directions."""
    ways = torch.tensor([(0, 1), (0, -1), (1, 0), (-1, 0)])[torch.randint(4, (count,), generator=chance)]
    pairs = zip(_sources(local, count, chance), ways.tolist(), strict=True)
    return torch.stack([torch.roll(image, way, (1, 2)) for image, way in pairs])


def _noisy(local: Tensor, count: int, chance: torch.Generator) -> Tensor:
    images = _sources(local, count, chance)
    return (images.float() + 25.5 * torch.randn(images.shape, generator=chance)).round().clamp(0, 255).to(torch.uint8)


COPIES: dict[str, Callable[[Tensor, int, torch.Generator], Tensor]] = {
    "exact": _sources,
    "exact, of three images": _few,
    "shifted by a pixel": _moved,
    "noisy (0.1)": _noisy,
    "shifted and noisy": lambda local, count, chance: altered(_sources(local, count, chance), chance),
}


# Trials


def flagged(found: CopyDistances) -> bool:
    """Whether the verdict speaks of copies."""
    return bool(found.matches.any()) or min(found.p_closer, found.p_sign) < LEVEL


class Rates(NamedTuple):
    """How many of the trials were flagged."""

    honest: dict[str, int]
    planted: dict[tuple[str, float], int]
    finds: tuple[float, float]  # medians of the smallest shares found, exact and altered, as the test itself says


def measure(case: Case, trials: int, count: int = JUDGED) -> Rates:
    """Flagged trials of seeds 0 to `trials` - 1."""
    honest, planted = dict.fromkeys(HONEST, 0), {(kind, share): 0 for kind in COPIES for share in SHARES}
    finds = []
    for seed in range(trials):
        chance = torch.Generator().manual_seed(seed)
        drawn = parts(case.pool(), case.local, case.held, chance)
        test = CopyTest(drawn.local, drawn.held)
        for name, make in HONEST.items():
            honest[name] += flagged(test(make(drawn.fresh, count, chance)))
        base = test.gaps(_drawn(drawn.fresh, count, chance))
        for kind, gaps in planted_gaps(test, drawn.local, count, chance):
            for share in SHARES:
                chosen = torch.rand(count, generator=chance) < share
                planted[kind, share] += flagged(test.judge(mixed(gaps, base, chosen)))
        found = test.judge(base)
        finds.append((found.finds_exact, found.finds_altered))
    medians = torch.tensor(finds).median(0).values.tolist()
    return Rates(honest, planted, (medians[0], medians[1]))


def planted_gaps(test: CopyTest, local: Tensor, count: int, chance: torch.Generator) -> Iterator[tuple[str, Gaps]]:
    """Distances of copies of every kind."""
    for kind, make in COPIES.items():
        yield kind, test.gaps(make(local, count, chance))


def mixed(copied: Gaps, honest: Gaps, chosen: Tensor) -> Gaps:
    """Distances of a sample of which the `chosen` are copies."""
    return Gaps(*(torch.where(chosen, one, other) for one, other in zip(copied, honest, strict=True)))


# The table


def interval(wins: int, of: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a rate."""
    rate, spread = wins / of, Z * Z / of
    middle, half = rate + spread / 2, Z * ((rate * (1 - rate) + spread / 4) / of) ** 0.5
    return max(0.0, (middle - half) / (1 + spread)), min(1.0, (middle + half) / (1 + spread))


def _told(wins: int, of: int) -> str:
    low, high = interval(wins, of)
    return f"{wins / of:.0%} ({low:.0%}–{high:.0%})"


def table(case: Case, rates: Rates, trials: int) -> str:
    """One edge as Markdown."""
    lines = [f"## {case.name}: {case.local:,} local images, {case.held:,} held out, {trials} trials", ""]
    lines += ["| honest generator | flagged |", "| --- | --- |"]
    lines += [f"| {name} | {_told(count, trials)} |" for name, count in rates.honest.items()]
    lines += [f"| all of these | {_told(sum(rates.honest.values()), trials * len(HONEST))} |", ""]
    lines += [f"| copies | {' | '.join(f'{share:.0%}' for share in SHARES)} |", "| --- |" + " --- |" * len(SHARES)]
    for kind in COPIES:
        lines.append(f"| {kind} | {' | '.join(_told(rates.planted[kind, share], trials) for share in SHARES)} |")
    said = [f"{share:.1%} of {kind} copies" for share, kind in zip(rates.finds, ("exact", "altered"), strict=True)]
    return "\n".join([*lines, "", f"The test itself claims power 0.8 from {' and '.join(said)} on (medians)."])


HEAD = f"""# Study: does the copies test see copies?

Synthetic images are drawn from a generator that copies none, one, or some of an edge's local images, and the
copies test (`engine/copy_test.py`) judges {JUDGED} of them at a time. A trial is flagged where the page would speak
of copies: an exact or near match, or one of the two tests below p = {LEVEL}. The stated level is 5 %: at most that
share of trials with an honest generator, which never saw the local images, is flagged; one fitted to few of them may
be flagged as closer to them without copying any. Copies are planted among independent draws: 1, 3, 10 % of the
images on average, and all of them. Noise has a standard deviation of 0.1 of the range from black to white. Each
trial draws its own images, its seed is its number from 0 on, and intervals are Wilson's at 95 %. At 1 %, only
{1 - 0.99**JUDGED:.0%} of samples of {JUDGED} hold a copy at all. With fewer than {FEWEST} held-out images, or where
altered copies would be found only above 10 %, the page says that it cannot tell. Mirrored and inverted copies are
not planted: the test does not look for them, and the page says so.

Made by `python tests/engine/copy_rates.py --mnist FOLDER --out assets/studies/copies.md`; without FOLDER the tables of
MNIST are left out.
"""


def pooled(found: list[Rates], trials: int) -> str:
    """The level over all edges, of every honest generator and of the one that is hardest to tell from a copier."""
    every = sum(sum(rates.honest.values()) for rates in found), trials * len(HONEST) * len(found)
    drawn = sum(rates.honest["independent draws"] for rates in found), trials * len(found)
    return (
        f"Over all edges, {every[0]} of {every[1]} trials with an honest generator were flagged, {_told(*every)}; "
        f"of independent draws alone {drawn[0]} of {drawn[1]}, {_told(*drawn)}. Single cells rest on {trials} trials "
        "each, too few to tell 5 % from 10 %."
    )


def cases(mnist_folder: str | None) -> list[Case]:
    """Every edge that is measured."""
    found = [
        Case("Handwritten digits, 8 x 8", scanned, 130, 130),
        *(Case("Rendered digits, 28 x 28", rendered, local, held) for local, held in EDGES),
    ]
    if mnist_folder:
        pool = cache(lambda: mnist(mnist_folder))
        found += [Case("MNIST", pool, local, held) for local, held in EDGES]
    return found


EDGES = ((130, 600), (600, 600), (5401, 6000))


def main(words: list[str]) -> None:
    """Write the tables."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--trials", type=int, default=TRIALS)
    asked.add_argument("--mnist")
    asked.add_argument("--out", type=Path)
    given = asked.parse_args(words)
    found = [(case, measure(case, given.trials)) for case in cases(given.mnist)]
    tables = [table(case, rates, given.trials) for case, rates in found]
    text = "\n\n".join([HEAD.strip(), pooled([rates for _, rates in found], given.trials), *tables]) + "\n"
    print(text) if given.out is None else given.out.write_text(text)


if __name__ == "__main__":
    main(sys.argv[1:])
