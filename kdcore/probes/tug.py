"""How labels and teacher pull at the student: on all its weights, and on one sample's logits."""

from dataclasses import dataclass

import numpy as np

from kdcore.probes._numerics import Floats, softmax
from kdcore.probes._rows import class_names, labels, pinned_row, shown_classes, student_logits, teacher_logits
from kdcore.runs.record import Record

SHOWN = 20  # classes, the label apart


@dataclass(frozen=True)
class TermGradient:
    """One loss term's gradient on all weights of the student."""

    name: str
    reads_labels: bool
    norm: float
    cosine: float | None  # with the label term's gradient; None for that term, and where either has no direction


@dataclass(frozen=True)
class Tug:
    """Loss terms on the weights, and both pulls on K logits of one sample."""

    terms: tuple[TermGradient, ...]
    rest_cosine: float | None  # label term's gradient with the sum of all others
    sample: int  # row of the probe set
    classes: tuple[str, ...]  # (K,)
    label: int  # position of the true class among those shown
    hidden: int  # classes not shown
    temperature: float
    label_pull: Floats  # (K,) minus the gradient of cross-entropy
    teacher_pull: Floats  # (K,) minus the gradient of τ² KL(teacher || student) at τ


def tug(record: Record, sample: int, temperature: float) -> Tug:
    """Top: gradient norm of each loss term (cosine −1: against the labels). Bottom: which logits each side raises.

    Beyond 20 classes only the teacher's 20 likeliest and the label are shown.
    """
    row = pinned_row(record, sample)
    label, student, teachers = int(labels(record)[row]), student_logits(record)[row], teacher_logits(record)
    assert teachers is not None
    shown = shown_classes(teachers[row], label, SHOWN)
    names = class_names(record, len(student))
    terms, rest_cosine = _terms(record)
    return Tug(
        terms=terms,
        rest_cosine=rest_cosine,
        sample=row,
        classes=tuple(names[k] for k in shown),
        label=int(np.flatnonzero(shown == label)[0]),
        hidden=len(student) - len(shown),
        temperature=temperature,
        label_pull=label_pull(student, label)[shown],
        teacher_pull=teacher_pull(student, teachers[row], temperature)[shown],
    )


def label_pull(student: np.ndarray, label: int) -> Floats:
    """Where descent on cross-entropy moves the logits (C,): 1_y − q at temperature 1."""
    pull = -softmax(student)
    pull[label] += 1.0
    return pull


def teacher_pull(student: np.ndarray, teacher: np.ndarray, temperature: float) -> Floats:
    """Where descent on τ² KL(teacher || student) moves the logits (C,): τ (p_τ − q_τ).

    Source: Hinton, Vinyals and Dean, Distilling the Knowledge in a Neural Network, 2015, section 2.1.
    """
    return temperature * (softmax(teacher, temperature) - softmax(student, temperature))


def _terms(record: Record) -> tuple[tuple[TermGradient, ...], float | None]:
    """Every term's pull on the weights, and the label term's cosine with the sum of all others."""
    names = [str(name) for name in record.frame.get("gradient_names", ())]
    if not names:
        return (), None
    norms, cosines = record.frame["gradient_norms"], record.frame["gradient_cosines"]
    label_terms = record.started.label_terms if record.started else ("labels",)
    reads = [name in label_terms for name in names]
    first = reads.index(True) if any(reads) else None
    pulls = tuple(
        TermGradient(name, reads[k], float(norms[k]), None if first in (None, k) else _direction(cosines[first, k]))
        for k, name in enumerate(names)
    )
    return pulls, None if first is None else _with_rest(norms, cosines, first)


def _direction(cosine: float) -> float | None:
    return float(cosine) if np.isfinite(cosine) else None


def _with_rest(norms: np.ndarray, cosines: np.ndarray, first: int) -> float | None:
    """Cosine of term `first` with the sum of the others, from norms (T,) and cosines (T, T); None if that is zero."""
    rest = np.arange(len(norms)) != first
    squared = norms[rest] @ cosines[np.ix_(rest, rest)] @ norms[rest]
    return float(cosines[first, rest] @ norms[rest] / np.sqrt(squared)) if 0 < squared < np.inf else None
