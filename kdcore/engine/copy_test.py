"""Whether a generator copies the images it learned from.

Each synthetic image is compared with every local image and with images held out from the generator. Its ratio is its
distance to the nearest local image over its distance to the nearest held-out one. A copy has a ratio near 0; an image
that owes nothing to any single local image has one near 1, however blurred or noisy it is. Held-out images, each
compared with the local images and with the other held-out ones, show which ratios chance alone gives.

Three rules, of which any flags:

- match: a ratio below half of the smallest ratio of a held-out image. One such image decides.
- closer: distinct local images to which some synthetic image is closer than the closest hundredth of the held-out
  images is (by ratio). Were synthetic images drawn like the held-out ones, the count would be negative hypergeometric.
  A generator that makes a single dense class exceeds that without copying, but then lies as often as close to held-out
  images; so the count must also exceed that of its mirror image, by a sign test.
- sign test: of the real images that are the nearest to some synthetic one, how many are local. Were a generator unable
  to tell local from held-out images, the count would be binomial with the share of local images.

A held-out image that equals a local one, as a file that lies twice in a folder does, was not held out: it is left out
of what chance gives, as long as such twins are few. Where they are many, the data are of few distinct images, and what
looks like a copy is how these data are.

Copies that are mirrored or inverted (255 - x) are not looked for: a generator of nothing else mostly passes.

Distances are root mean squares over pixels from 0 to 1, the smallest over shifts of up to one pixel. The nearest image
is sought among the CANDIDATES nearest at a lower resolution, which costs one matrix product.

Source: held-out images as the yardstick for memorised ones follow Meehan, Chaudhuri and Dasgupta, A Non-Parametric Test
to Detect Data-Copying in Generative Models, AISTATS 2020, arXiv 2004.05675; ratio, match rule and shifts are ours.
Measured rates stand in assets/studies/copies.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import comb, inf
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

CANDIDATES = 12
COARSE = 14  # pixels along a side at which candidates are sought
SMALLEST = 8  # pixels along a side from which on shifts are tried
HALF_GREY = 0.5 / 255  # added to distances, so that a ratio of two zeros is 1
REFERENCES = 500  # held-out images whose ratios say what chance gives
CLOSEST = 0.01  # share of them that is closest
SAME = 1 / 255  # distance up to which two images are the same
TWINS = 0.05  # share of held-out images that are the same as a local one, up to which they are left out
PLANTED = 64  # copies by which the test measures itself
NOISE = 0.1  # of altered copies, standard deviation
POWER = 0.8
LEVEL = 0.02  # of each of the two tests; together with the match rule 0.05 at most
CHUNK = 64  # images compared at once
SHARES = tuple(0.002 * 1.1**place for place in range(66))  # of copies among synthetic images, up to 1


class Gaps(NamedTuple):
    """Distances of images (N, ...) to the real ones."""

    local: Tensor  # (N,) to the nearest local image
    held: Tensor  # (N,) to the nearest held-out image
    place: Tensor  # (N,) the nearest local image
    other: Tensor  # (N,) the nearest held-out image

    @property
    def ratio(self) -> Tensor:
        """(N,) near 0 for copies of local images."""
        return (self.local + HALF_GREY) / (self.held + HALF_GREY)


class CopyDistances(NamedTuple):
    """What the test says of N synthetic images."""

    local: Tensor  # (N,) distance to the nearest local image
    held: Tensor  # (N,) to the nearest held-out image
    matches: Tensor  # (N,) bool, exact or near matches of a local image, and not of a held-out one
    same: Tensor  # (N,) bool, which are the same as a local image
    closer: int  # closer to a local image than the closest hundredth of the held-out images
    nearest: tuple[int, int]  # local and held-out images that are the nearest to some synthetic one
    p_closer: float
    p_sign: float
    finds_exact: float  # smallest share of exact copies that is found with probability POWER; inf where none is
    finds_altered: float  # the same of copies shifted by up to a pixel, with noise
    twins: int  # held-out images that are the same as a local one, of `references`
    references: int


class CopyTest:
    """The test for one generator.

    Args:
        local: (M, K, H, W) uint8, all images that the generator may have learned from.
        held: (L, K, H, W) uint8, images of the same kind that it has not seen; L > 1.
    """

    def __init__(self, local: Tensor, held: Tensor) -> None:
        self.local, self.held = _Images(local), _Images(held)
        chance = torch.Generator().manual_seed(0)
        rows = torch.randperm(len(held), generator=chance)[:REFERENCES].to(held.device)
        gaps = self.gaps(held[rows], rows)
        own = gaps.local > SAME
        self.references, self.twins = len(own), int((~own).sum())
        ratios = gaps.ratio[own if self.twins <= TWINS * len(own) else slice(None)].sort().values
        self.size = len(ratios)
        self.matching, self.close, self.away = (float(ratios[place]) for place in (0, self.rank - 1, -self.rank))
        self.matching /= 2
        drawn = local[torch.randint(len(local), (PLANTED,), generator=chance).to(local.device)]
        self.exact, self.altered = (self.gaps(one).ratio for one in (drawn, altered(drawn, chance)))

    @property
    def rank(self) -> int:
        """How many of the references are the closest ones."""
        return max(1, round(CLOSEST * self.size))

    def __call__(self, made: Tensor) -> CopyDistances:
        """Judge synthetic images (N, K, H, W) uint8."""
        return self.judge(self.gaps(made))

    def judge(self, gaps: Gaps) -> CopyDistances:
        """Judge synthetic images by their distances."""
        count = len(gaps.local)
        close, away = gaps.ratio < self.close, gaps.ratio > self.away
        distinct, mirrored = _different(gaps.place[close]), _different(gaps.other[away])
        ours, others = map(_different, _sides(gaps))
        share = len(self.local) / (len(self.local) + len(self.held))
        return CopyDistances(
            local=gaps.local,
            held=gaps.held,
            matches=gaps.ratio < self.matching,
            same=gaps.local <= SAME,
            closer=int(close.sum()),
            nearest=(ours, others),
            p_closer=self._closer(distinct, mirrored, count),
            p_sign=at_least(ours, ours + others, share),
            finds_exact=self._finds(self.exact, count),
            finds_altered=self._finds(self.altered, count),
            twins=self.twins,
            references=self.references,
        )

    def _closer(self, close: int, away: int, count: int) -> float:
        """p of so many distinct close local images of `count`, beside so many distinct close held-out ones."""
        return max(preceding(close, count, self.rank, self.size), at_least(close, close + away, 0.5))

    def gaps(self, images: Tensor, rows: Tensor | None = None) -> Gaps:
        """Distances of images; those of `rows` (N,) of the held-out ones are not compared with themselves."""
        local, place = self.local.nearest(images)
        held, other = self.held.nearest(images, rows)
        return Gaps(local, held, place, other)

    def _finds(self, ratios: Tensor, count: int) -> float:
        """Return the smallest share of copies with such ratios that is found among `count` images with probability
        POWER.
        """
        match, close = (float((ratios < level).float().mean()) for level in (self.matching, self.close))
        away = round(CLOSEST * count)  # as many as by chance
        needed = next((m for m in range(count + 1) if self._closer(m, away, count) < LEVEL), count + 1)
        found = (
            share
            for share in SHARES
            if 1 - (1 - share * match) ** count >= POWER or at_least(needed, count, share * close) >= POWER
        )
        return next(found, inf)


class _Images:
    """Real images, ready for the nearest to be found."""

    def __init__(self, images: Tensor) -> None:
        self.images, self.coarse = images, _coarse(images)

    def __len__(self) -> int:
        return len(self.images)

    def nearest(self, images: Tensor, without: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Distance (N,) to the nearest one, and which it is (N,); `without` (N,) names one each that does not count."""
        count = min(CANDIDATES, len(self) - (without is not None))
        parts = []
        for start in range(0, len(images), CHUNK):
            some, left = images[start : start + CHUNK], None if without is None else without[start : start + CHUNK]
            far = torch.cdist(_coarse(some), self.coarse)
            if left is not None:
                far.scatter_(1, left[:, None], inf)
            places = far.topk(count, largest=False).indices
            gaps = torch.stack([_gap(some, self.images[column]) for column in places.T], dim=1)
            least = gaps.min(1)
            parts.append((least.values, places.gather(1, least.indices[:, None])[:, 0]))
        return torch.cat([distances for distances, _ in parts]), torch.cat([places for _, places in parts])


def _coarse(images: Tensor) -> Tensor:
    """Images (N, K, H, W) uint8 as vectors (N, D) at a lower resolution."""
    factor = max(1, min(images.shape[2:]) // COARSE)
    return F.avg_pool2d(images.float() / 255, factor).flatten(1)


def _gap(x: Tensor, y: Tensor) -> Tensor:
    """Root mean square differences (N,) of images (N, K, H, W) uint8, the smallest over shifts, where they overlap."""
    height, width = x.shape[2:]
    edge = 1 if min(height, width) >= SMALLEST else 0
    inside = x[:, :, edge : height - edge, edge : width - edge].float()
    gaps = [(inside - shifted.float()).square().mean((1, 2, 3)) for shifted in _shifted(y, edge)]
    return torch.stack(gaps).amin(0).sqrt() / 255


def _shifted(images: Tensor, edge: int) -> Iterator[Tensor]:
    """Yield the parts of images as large as their inside."""
    height, width = (size - 2 * edge for size in images.shape[2:])
    for top in range(2 * edge + 1):
        for left in range(2 * edge + 1):
            yield images[:, :, top : top + height, left : left + width]


def _different(places: Tensor) -> int:
    return len(set(places.tolist()))


def _sides(gaps: Gaps) -> tuple[Tensor, Tensor]:
    """Return the real images that are the nearest of all to some synthetic one: local ones, and held-out ones."""
    nearer = gaps.local < gaps.held
    return gaps.place[nearer], gaps.other[~nearer]


def altered(images: Tensor, chance: torch.Generator) -> Tensor:
    """Images (N, K, H, W) uint8 shifted by up to a pixel each way, with noise."""
    ways = torch.randint(3, (len(images), 2), generator=chance) - 1
    moved = torch.stack(
        [torch.roll(image, (int(down), int(right)), (1, 2)) for image, (down, right) in zip(images, ways, strict=True)]
    )
    noise = torch.randn(images.shape, generator=chance).to(images.device)
    return (moved.float() + 255 * NOISE * noise).round().clamp(0, 255).to(torch.uint8)


def at_least(wins: int, of: int, share: float) -> float:
    """Probability of at least `wins` of `of` independent draws that each win with probability `share`."""
    if share >= 1:
        return 1.0
    return min(1.0, sum(comb(of, k) * share**k * (1 - share) ** (of - k) for k in range(wins, of + 1)))


def preceding(count: int, of: int, rank: int, size: int) -> float:
    """Probability that at least `count` of `of` values lie below the `rank`-th of `size` others, all alike.

    That is so where the first count + rank - 1 of all hold fewer than `rank` of the others.
    """
    if count > of:
        return 0.0
    first = count + rank - 1
    ways = sum(comb(size, k) * comb(of, first - k) for k in range(rank) if 0 <= first - k <= of)
    return ways / comb(size + of, first)
