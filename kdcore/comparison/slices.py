"""Slices of the rows on which the student is far from its teacher, beyond chance.

A slice is a selection: one condition, or two of different columns. It is looked for on one half of the rows and tested
on the other, so that having looked at thousands costs nothing; one that is real but small is left out. What follows
from the student's own answer is no column here: that a student is far from its teacher where it says something else is
no news.

Source: after Chung et al., Automated Data Slicing for Model Validation, IEEE TKDE 32, 2020, who test on the rows they
search; the halves are ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata

from kdcore.comparison.cache import remembered
from kdcore.comparison.case import Case
from kdcore.comparison.intervals import of_mean
from kdcore.comparison.selection import Bools, mask
from kdcore.comparison.significance import discovered, worse
from kdcore.probes._numerics import Floats

RATE = 0.05  # false discoveries among what is found
BINS = 5  # of a column of numbers, with as many rows in each
KINDS = 32  # at most so many whole numbers make a column one of kinds
CLASSES = 100  # at most: those with the largest KL on the half that is looked at
LEAST = 10  # rows of a slice in each half
NOTABLE = 2.33  # standard scores: what is worth a test, one in a hundred by chance
SHARPER = 3.09  # how far a slice within a slice must stand out from it, one in a thousand
TESTED = 20  # slices at most
FLOOR = 0.15  # nats, mean KL of a slice worth naming; two students of one recipe differ by less
TIMES = 1.5  # how many times that of the other rows it must be
LOOKED = 500  # of the most striking candidates
CONFIDENCE = "teacher confidence"


class Condition(NamedTuple):
    """One term of a selection and the rows (N,) that it means."""

    column: str
    select: str
    rows: Bools


@dataclass(frozen=True)
class Slice:
    """Rows on which the student is farther from its teacher; figures are of the half it was not looked for on."""

    select: str
    rows: int  # in both halves
    tested: int
    kl: float  # mean, nats
    low: float  # of the 95 % interval of that mean by Student's t, as if the slice had not been chosen
    high: float
    outside: float  # mean of the other rows
    larger: float  # share of pairs of a row inside and one outside where the one inside has the larger KL
    p: float
    q: float


@dataclass(frozen=True)
class FoundSlice:
    """Slices by mean KL, the largest first."""

    slices: tuple[Slice, ...]
    tested: int  # candidates
    looked: int  # conditions and pairs of them
    overall: float  # mean KL of all rows, nats


@remembered
def slices(case: Case, seed: int = 0) -> FoundSlice:
    """Longer bars: slices on which the student is farther from its teacher; click one to select it in every panel.

    Args:
        case: with a teacher. Rows whose KL is not a number are left out.
        seed: of the halves.
    """
    kl = case.rows.kl
    known = np.isfinite(kl)
    half = halves(len(kl), seed) & known
    found = conditions(case, half)
    return search(kl[known], [one._replace(rows=one.rows[known]) for one in found], half[known])


def halves(rows: int, seed: int) -> Bools:
    """Which of the rows (N,) are looked at; the others test."""
    half = np.zeros(rows, dtype=np.bool_)
    half[np.random.default_rng(seed).permutation(rows)[: rows // 2]] = True
    return half


# What slices are made of


def conditions(case: Case, half: Bools) -> list[Condition]:
    """Every term that a slice may have: classes, the teacher's answers and confidence, columns in bins."""
    rows = case.rows
    told = {"true": rows.labels, "teacher": rows.teacher_top}
    texts = [(name, f"{name}={k}") for name, classes in told.items() for k in _classes(classes, rows.kl, half)]
    for name, values in _columns(case).items():
        texts += [(name, f"{name}={span}") for span in spans(values)]
    found = [Condition(name, text, mask(case, text)) for name, text in texts]
    return [one for one in found if _enough(one.rows, half)]


def _classes(answers: np.ndarray, kl: Floats, half: Bools) -> list[int]:
    """Classes to look at: all, or those where the student is farthest."""
    seen = half & (answers >= 0)
    count = np.bincount(answers[seen])
    mean = np.bincount(answers[seen], kl[seen]) / np.maximum(count, 1)
    worst = np.argsort(-np.where(count >= LEAST, mean, -1.0), kind="stable")[:CLASSES]
    return sorted(worst[count[worst] >= LEAST].tolist())


def _columns(case: Case) -> dict[str, Floats]:
    """Columns that do not follow from the student's answers, and whose names a selection can say."""
    own = case.rows.columns
    given = {name: values for name, values in case.columns.items() if name not in own and not set(name) & set("=;")}
    return given | {CONFIDENCE: own[CONFIDENCE]}


def spans(values: Floats) -> list[str]:
    """Conditions on a column (N,) as selections read them: each of a few whole numbers, or bins of equal size."""
    known = values[np.isfinite(values)]
    kinds = np.unique(known)
    if len(kinds) < 2:
        return []
    if len(kinds) <= KINDS and (kinds == kinds.round()).all():
        return [f"{kind:g}" for kind in kinds]
    cuts = sorted({f"{cut:.4g}" for cut in np.quantile(known, np.arange(1, BINS) / BINS)}, key=float)
    return [f"{low}..{high}" for low, high in zip(["", *cuts], [*cuts, ""], strict=True)]


def _enough(rows: Bools, half: Bools) -> bool:
    inside = int((rows & half).sum())
    return LEAST <= inside <= int(half.sum()) - LEAST and int((rows & ~half).sum()) >= LEAST


# Looking and testing


def search(kl: Floats, terms: Sequence[Condition], half: Bools) -> FoundSlice:
    """Return the slices of KL (N,), looked for in `half` (N,) and tested in the rest."""
    candidates, looked = _candidates(kl, terms, half)
    rest = ~half
    tests = [worse(kl[rest], rows[rest]) for _, rows in candidates]
    rates = discovered(np.array([test.p for test in tests]))
    found = []
    for (select, rows), test, q in zip(candidates, tests, rates, strict=True):
        inside, outside = kl[rest & rows], kl[rest & ~rows]
        if q <= RATE and inside.mean() >= max(FLOOR, TIMES * outside.mean()):
            low, high = of_mean(inside)
            means = (float(inside.mean()), max(float(low), 0.0), float(high), float(outside.mean()))
            found.append(Slice(select, int(rows.sum()), len(inside), *means, test.share, test.p, float(q)))
    ordered = tuple(sorted(found, key=lambda one: -one.kl))
    return FoundSlice(ordered, len(candidates), looked, float(kl.mean()) if len(kl) else float("nan"))


def _candidates(kl: Floats, terms: Sequence[Condition], half: Bools) -> tuple[list[tuple[str, Bools]], int]:
    """Return what is worth a test, and how much was looked at: striking slices that say what no other says already."""
    if not terms:
        return [], 0
    striking, looked = _striking(kl[half], terms, half)
    kept: list[tuple[str, Bools]] = []
    for places in striking:
        rows = np.logical_and.reduce([terms[place].rows for place in places])
        if len(kept) < TESTED and _enough(rows, half) and _adds(kl[half], rows[half], [one[half] for _, one in kept]):
            kept.append((";".join(terms[place].select for place in places), rows))
    return kept, looked


def _striking(kl: Floats, terms: Sequence[Condition], half: Bools) -> tuple[list[list[int]], int]:
    """Places of the conditions and pairs that stand out, most first, and how many of both there were.

    A pair must also stand out from what is left of each of its two conditions.
    """
    away = rankdata(kl) - (len(kl) + 1) / 2
    away = (away / max(float(away.std()), 1e-12)).astype(np.float32)
    inside = np.stack([one.rows[half] for one in terms]).astype(np.float32)
    count, total = inside @ inside.T, (inside * away) @ inside.T  # (T, T), conditions themselves on the diagonal
    score, apart = _score(total, count, len(kl)), _apart(total, count)
    columns = np.array([one.column for one in terms])
    pairs = np.triu(columns[:, None] != columns[None]) & (count >= LEAST)
    picked = (score > NOTABLE) & (np.eye(len(terms), dtype=bool) | pairs & (apart > NOTABLE) & (apart.T > NOTABLE))
    first, second = np.nonzero(picked)
    order = np.argsort(-score[first, second], kind="stable")[:LOOKED]
    found = [sorted({int(first[k]), int(second[k])}) for k in order]
    return found, len(terms) + int(pairs.sum())


def _score(total: np.ndarray, count: np.ndarray, rows: int) -> np.ndarray:
    """Return standard scores of sums of standardised ranks over `count` rows drawn from `rows`."""
    return np.asarray(total / np.sqrt(np.maximum(count * (rows - count) / max(rows - 1, 1), 1e-9)))


def _apart(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    """How far each pair of conditions (a, b) stands out from the rows of a that are not of b."""
    left, rest = np.diag(count)[:, None] - count, np.diag(total)[:, None] - total
    difference = total / np.maximum(count, 1) - rest / np.maximum(left, 1)
    certain = difference / np.sqrt(1 / np.maximum(count, 1) + 1 / np.maximum(left, 1))
    return np.asarray(np.where(left > 0, certain, 0.0))


def _adds(kl: Floats, rows: Bools, kept: Sequence[Bools]) -> bool:
    """Whether a slice says more than those before it: beyond them, or far sharper within one of them."""
    if not kept:
        return True
    known = np.logical_or.reduce(kept)
    new = rows & ~known
    if new.sum() >= LEAST:
        return worse(kl[~known], new[~known]).z > NOTABLE
    around = next((one for one in kept if not (rows & ~one).any()), None)
    return around is not None and worse(kl[around], rows[around]).z > SHARPER
