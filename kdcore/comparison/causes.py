"""Why the student disagrees with its teacher: one cause for each row, the first whose test holds.

A row is a disagreement where the answers differ, or are the same with confidences that lie apart. Causes are tested
in the order of CAUSES. What was not gathered cannot be a cause: `missing` says what that is.

    witnesses.npz   further runs on the case's rows, as `kdcore.comparison.tasks.witnesses` asked them: `<kind>_answers`
    (R, N)
                    int64, `<kind>_confidence` (R, N) and `<kind>_runs` (R,) ids, for each kind of WITNESSES
    support.npz     `distance` (N,) to the 10th nearest training row in the teacher's features, and `own` (M,), the
                    same of training rows to the others
    knobs.npz       thresholds, where somebody changed them
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import Field, ValidationError

from kdcore.comparison.cache import remembered
from kdcore.comparison.case import Case
from kdcore.frozen import FrozenModel
from kdcore.probes._numerics import Floats, Ints
from kdcore.runs.record import write_arrays

Cause = Literal[
    "label_suspect",
    "both_wrong",
    "teacher_wrong",
    "off_support",
    "under_trained",
    "capacity",
    "boundary_noise",
    "confidence_only",
    "unclear",
]
CAUSES: dict[Cause, str] = {  # in the order in which they are tested, and what they are called on screen
    "label_suspect": "label suspicious",
    "both_wrong": "both wrong, same answer",
    "teacher_wrong": "teacher wrong",
    "off_support": "off the training support",
    "under_trained": "under-trained",
    "capacity": "capacity",
    "boundary_noise": "boundary noise",
    "confidence_only": "confidence only",
    "unclear": "unclear",
}
NONE = -1  # the code of a row without disagreement
WITNESSES = {"seeds": "other seeds", "longer": "a longer run", "bigger": "a student of the teacher's size"}
FILE = "knobs"


class Thresholds(FrozenModel):
    """Thresholds of the causes."""

    gap: float = Field(
        0.3, ge=0.01, le=1.0, description="Same answer: how far the confidences must lie apart to disagree."
    )
    doubt: float = Field(
        0.1, ge=0.0, le=0.5, description="Label suspicious: the most that the teacher may give the label."
    )
    backing: float = Field(
        0.66, ge=0.0, le=1.0, description="Label suspicious: the least share of other seeds that answer as the teacher."
    )
    far: float = Field(
        99.0, ge=50.0, le=100.0, description="Off the support: farther than this percentage of training rows are."
    )
    repeated: float = Field(
        0.66, ge=0.0, le=1.0, description="Under-trained, capacity: the least share of other seeds that disagree too."
    )
    otherwise: float = Field(
        0.3, gt=0.0, le=1.0, description="Boundary noise: the least share of other seeds unlike this student."
    )


def knobs_of(case: Case) -> Thresholds:
    """Return the thresholds that hold for a case."""
    try:
        return Thresholds.model_validate({name: float(value) for name, value in case.part(FILE).items()})
    except ValidationError:  # of another version
        return Thresholds()


def keep(case: Case, knobs: Thresholds) -> None:
    """Make thresholds hold for a case, for whoever looks at it."""
    arrays = {name: np.asarray(value) for name, value in knobs.model_dump().items()}
    write_arrays(case.folder / f"{FILE}.npz", arrays, compress=False)


@dataclass(frozen=True)
class Causes:
    """One cause for each disagreement."""

    code: Ints  # (N,) places in CAUSES, NONE where the two agree
    counts: Ints  # (K,) rows by cause; they add up to the disagreements
    by_class: Ints  # (C, K) by the teacher's answer
    knobs: Thresholds

    @property
    def disagreements(self) -> int:
        """Rows on which the two disagree."""
        return int(self.counts.sum())


@remembered
def causes(case: Case) -> Causes:
    """Each disagreement has the first cause from the top whose test holds; click one to select its samples."""
    knobs = knobs_of(case)
    tests = verdicts(case, knobs)
    first = np.select(list(tests.values()), range(len(tests)), len(tests))
    code = np.where(disagree(case, knobs), first, NONE).astype(np.int64)
    known = (code >= 0) & (case.rows.teacher_top >= 0)
    kinds, classes = len(CAUSES), len(case.classes)
    table = np.bincount(case.rows.teacher_top[known] * kinds + code[known], minlength=classes * kinds)
    return Causes(code, np.bincount(code[code >= 0], minlength=kinds), table.reshape(classes, kinds), knobs)


def disagree(case: Case, knobs: Thresholds) -> np.ndarray:
    """(N,) whether the answers differ, or are the same with confidences that lie apart."""
    rows = case.rows
    return ~_like_teacher(case, knobs, rows.student_top, rows.columns["student confidence"])


def _like_teacher(case: Case, knobs: Thresholds, answers: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    """Whether answers (..., N) are the teacher's, with confidences (..., N) near its own where the student's answer is
    the teacher's too, so that all that is between them is confidence."""
    rows = case.rows
    same = answers == rows.teacher_top
    apart = np.abs(confidence - rows.columns["teacher confidence"]) > knobs.gap
    return np.asarray(same & ~(apart & (rows.student_top == rows.teacher_top)))


# Evidence


@dataclass(frozen=True)
class Witness:
    """Further runs of one kind on the rows of a case."""

    answers: Ints  # (R, N)
    like_teacher: np.ndarray  # (R, N) whether they agree with the teacher
    runs: tuple[str, ...]

    @property
    def share(self) -> Floats:
        """(N,) the share of them that agree with the teacher."""
        return np.asarray(self.like_teacher.mean(0))


def witness(case: Case, knobs: Thresholds, kind: str) -> Witness | None:
    """Return runs of a kind of WITNESSES; None where none was asked."""
    told = case.part("witnesses")
    if f"{kind}_answers" not in told:
        return None
    answers = told[f"{kind}_answers"]
    near = _like_teacher(case, knobs, answers, told[f"{kind}_confidence"])
    return Witness(answers, near, tuple(map(str, told[f"{kind}_runs"])))


def limit(case: Case, knobs: Thresholds) -> float | None:
    """Return the distance beyond which a row is off the support; None where distances were not measured."""
    own = case.part("support").get("own")
    return None if own is None else float(np.percentile(own, knobs.far))


def missing(case: Case) -> list[str]:
    """Return what was not gathered, in words; causes that need it cannot be found."""
    told = case.part("witnesses")
    lacking = [words for kind, words in WITNESSES.items() if f"{kind}_answers" not in told]
    return lacking + ([] if case.part("support") else ["distances to the training rows"])


def verdicts(case: Case, knobs: Thresholds) -> Mapping[Cause, np.ndarray]:
    """(N,) whether each cause's test holds, all but "unclear", in their order; rows that agree are judged too."""
    rows, far = case.rows, limit(case, knobs)
    never = np.zeros(len(rows), dtype=np.bool_)
    seeds, longer, bigger = (witness(case, knobs, kind) for kind in WITNESSES)
    wrong = (rows.labels >= 0) & (rows.teacher_top != rows.labels)
    lasting = ~never if seeds is None else 1 - seeds.share >= knobs.repeated
    return {
        "label_suspect": never if seeds is None else wrong & _against_label(case, knobs, seeds),
        "both_wrong": wrong & (rows.student_top == rows.teacher_top) & (rows.teacher_top >= 0),
        "teacher_wrong": wrong,
        "off_support": never if far is None else case.part("support")["distance"] > far,
        "under_trained": never if longer is None else lasting & (longer.share > 0),
        "capacity": never if bigger is None else lasting & (bigger.share > 0),
        "boundary_noise": never if seeds is None else unlike(case, seeds) >= knobs.otherwise,
        "confidence_only": disagree(case, knobs) & (rows.student_top == rows.teacher_top),
    }


def _against_label(case: Case, knobs: Thresholds, seeds: Witness) -> np.ndarray:
    rows = case.rows
    given = np.exp(rows.log_p[np.arange(len(rows)), np.maximum(rows.labels, 0)])
    backing = (seeds.answers == rows.teacher_top).mean(0)
    return np.asarray((given <= knobs.doubt) & (backing >= knobs.backing))


def unlike(case: Case, seeds: Witness) -> Floats:
    """(N,) share of other seeds that are not like this student: another answer, or where it has the teacher's, another
    verdict on its confidence."""
    rows = case.rows
    same = rows.student_top == rows.teacher_top
    return np.asarray(np.where(same, seeds.like_teacher.mean(0), (seeds.answers != rows.student_top).mean(0)))
