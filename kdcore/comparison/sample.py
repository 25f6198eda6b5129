"""One row under both models: their scores and softened probabilities, and what their distance is made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kdcore.comparison.case import Rows
from kdcore.probes._numerics import Floats, Ints, kl_nats, log_softmax, top_class
from kdcore.probes._rows import shown_classes

SHOWN = 20  # classes, the label apart


@dataclass(frozen=True)
class SampleSide:
    """One model about one row, K classes shown."""

    answer: int  # its class; -1 where its scores are no numbers
    logits: Floats  # (K,)
    probability: Floats  # (K,) softened, over all classes
    rank: Ints  # (K,) 1 for the likeliest of all classes
    label_rank: int | None  # of the label
    margin: float  # between the two likeliest softened probabilities
    entropy: float  # of the softened probabilities, in nats


@dataclass(frozen=True)
class Gap:
    """KL(teacher || student) of one row in nats: whole = target + rest, and rest = weight * others."""

    whole: float
    target: float  # whether it is the target class or not
    others: float  # among the other classes alone
    weight: float  # 1 - p_y, how much of its answer the teacher gives to them

    @property
    def rest(self) -> float:
        """What the other classes add to the whole."""
        return self.weight * self.others


@dataclass(frozen=True)
class ComparedSample:
    """Both models about one row."""

    row: int
    label: int  # -1 where unknown
    target: int  # the class that parts the distance: the label, or else the teacher's answer
    shown: Ints  # (K,) classes
    hidden: int  # classes that are not shown
    temperature: float
    student: SampleSide
    teacher: SampleSide | None
    gap: Gap | None


def sample(rows: Rows, row: int, temperature: float) -> ComparedSample:
    """Top: logits; bottom: probabilities softened by τ. The target part of KL is about the true class.

    A wish for a row that is not there means the last one. Beyond 20 classes those are shown that either model finds
    likeliest, and the label.
    """
    row = min(row, len(rows) - 1)
    ours, theirs = rows.student[row], None if rows.teacher is None else rows.teacher[row]
    likely = log_softmax(ours) if theirs is None else np.fmax(log_softmax(ours), log_softmax(theirs))
    label, first = int(rows.labels[row]), int(np.nan_to_num(ours if theirs is None else theirs).argmax())
    target = first if label < 0 else label
    shown = shown_classes(np.nan_to_num(likely, neginf=-1e30), target, SHOWN)
    return ComparedSample(
        row=row,
        label=label,
        target=target,
        shown=shown,
        hidden=len(ours) - len(shown),
        temperature=temperature,
        student=_side(ours, shown, label, temperature),
        teacher=None if theirs is None else _side(theirs, shown, label, temperature),
        gap=None if theirs is None else gap(theirs, ours, target, temperature),
    )


def _side(logits: np.ndarray, shown: Ints, label: int, temperature: float) -> SampleSide:
    log_p = log_softmax(logits, temperature)
    p, rank = np.exp(log_p), 1 + (logits[None, :] > logits[:, None]).sum(1)
    first, second = np.sort(np.append(p, 0.0))[:-3:-1]
    return SampleSide(
        answer=int(top_class(logits[None])[0]),
        logits=logits[shown].astype(np.float64),
        probability=p[shown],
        rank=rank[shown],
        label_rank=int(rank[label]) if label >= 0 else None,
        margin=float(first - second),
        entropy=float(-np.where(p > 0, p * log_p, 0.0).sum()),
    )


def gap(teacher: np.ndarray, student: np.ndarray, target: int, temperature: float) -> Gap:
    """Return the distance of two answers (C,) and its two parts, at one temperature.

    Source: Zhao et al., Decoupled Knowledge Distillation, CVPR 2022, equation 5.
    """
    log_p, log_q = log_softmax(teacher, temperature), log_softmax(student, temperature)
    other = np.arange(len(log_p)) != target
    with np.errstate(invalid="ignore"):
        theirs, ours = (np.array([one[target], np.logaddexp.reduce(one[other])]) for one in (log_p, log_q))
    return Gap(
        whole=float(kl_nats(teacher, student, temperature)),
        target=float(kl_nats(theirs, ours)),
        others=float(kl_nats(log_p[other], log_q[other])) if other.any() else 0.0,
        weight=float(np.exp(theirs[1])),
    )
