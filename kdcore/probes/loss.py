"""What each term of the loss contributes, step by step."""

from dataclasses import dataclass
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from kdcore.events import Step
from kdcore.probes._numerics import Floats, Ints, calm, thinned, wide
from kdcore.runs.record import Record

APART = 0.06  # of the axis, between two marks whose names do not overlap


@dataclass(frozen=True)
class LossTerm:
    """One summand of the loss over the steps; NaN where it was not part of the loss."""

    name: str
    reads_labels: bool
    leading: bool  # part of what the source minimises alone, before the student's first step
    weighted: Floats  # (S,) weight * value, what is minimised
    raw: Floats  # (S,) value

    @property
    def rescaled(self) -> bool:
        """Whether its weight is anything but 1, so that both curves differ."""
        return not np.array_equal(self.weighted, self.raw, equal_nan=True)


@dataclass(frozen=True)
class ChangeMark:
    """Settings that a person changed while the run was under way, close together."""

    step: int  # of the first
    text: str  # the change, or how many there are
    all: tuple[tuple[int, str], ...]  # step and text of each


@dataclass(frozen=True)
class Losses:
    """The loss and its terms."""

    step: Ints  # (S,) int64
    total: Floats  # (S,) of the student; NaN while the source learns alone
    terms: tuple[LossTerm, ...]
    source: dict[str, Floats]  # (S,) each, what its updates beside the student's minimised, NaN where there was none
    told: NDArray[np.bool_]  # (S,) where there was one
    changes: tuple[ChangeMark, ...]
    logarithmic: bool  # nothing is negative, and the range is wide
    highest: float | None  # where the axis ends if the first values would dominate it
    broken_at: int | None  # the first step whose loss is not a number


def loss(record: Record, limit: int = 2000) -> Losses:
    """Lower is better. Solid: weighted loss terms. Dotted: before weighting. Dashed: the generator's loss.

    At most `limit` steps, evenly spread, and as many again of those at which the source tells something.
    """
    steps = [record.steps[k] for k in _shown(record, limit)]
    names = {name: step.lead for step in reversed(steps) for name in reversed(step.terms)}
    label_terms = record.started.label_terms if record.started else ("labels",)
    terms = []
    for name, leading in reversed(names.items()):
        found = [step.terms.get(name) for step in steps]
        weight = np.array([part.weight if part else np.nan for part in found])
        raw = np.array([part.value if part else np.nan for part in found])
        with np.errstate(invalid="ignore"):
            terms.append(LossTerm(name, name in label_terms, leading, weight * raw, raw))
    total = np.array([np.nan if step.lead else step.loss for step in steps], dtype=np.float64)
    curves = [curve for term in terms for curve in (term.weighted, term.raw)]
    broken = [step.step for step in record.steps if not isfinite(step.loss)]
    return Losses(
        step=np.array([step.step for step in steps], dtype=np.int64),
        total=total,
        terms=tuple(terms),
        source=_source(steps),
        told=np.array([bool(step.source) for step in steps], dtype=bool),
        changes=_changes(record),
        logarithmic=wide(np.concatenate([total, *curves])),
        highest=None if wide(np.concatenate([total, *curves])) else calm(total, *curves),
        broken_at=broken[0] if broken else None,
    )


def _changes(record: Record) -> tuple[ChangeMark, ...]:
    """What was changed, as many marks as can be told apart on the axis."""
    steps = record.steps[-1].step - record.steps[0].step if record.steps else 0
    groups: list[list[tuple[int, str]]] = []
    for one in record.changes:
        said = (one.step, f"{one.path.rsplit('.', 1)[-1]} {one.old} → {one.new}")
        if groups and one.step - groups[-1][0][0] <= APART * steps:
            groups[-1].append(said)
        else:
            groups.append([said])
    return tuple(
        ChangeMark(group[0][0], group[0][1] if len(group) == 1 else f"{len(group)} changes", tuple(group))
        for group in groups
    )


def _shown(record: Record, limit: int) -> list[int]:
    """Places of the steps on show. A source tells something now and then, which an even spread might miss."""
    told = [place for place, step in enumerate(record.steps) if step.source]
    return sorted({*map(int, thinned(len(record.steps), limit)), *(told[k] for k in thinned(len(told), limit))})


def _source(steps: list[Step]) -> dict[str, Floats]:
    names = dict.fromkeys(name for step in steps for name in step.source)
    return {name: np.array([step.source.get(name, np.nan) for step in steps], dtype=np.float64) for name in names}
