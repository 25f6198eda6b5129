"""What speaks for and against each cause of one row, in plain sentences with the numbers and the thresholds."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from kdcore.comparison.case import Case
from kdcore.comparison.causes import (
    CAUSES,
    WITNESSES,
    Cause,
    Thresholds,
    Witness,
    causes,
    limit,
    unlike,
    verdicts,
    witness,
)


class EvidenceLine(NamedTuple):
    """One test of one row."""

    cause: Cause
    holds: bool
    says: str
    runs: tuple[str, ...] = ()  # that prove it


def evidence(case: Case, row: int) -> list[EvidenceLine]:
    """Each cause's test of a row, in the order in which they are tested; the first that holds is its cause."""
    knobs = causes(case).knobs
    tests = verdicts(case, knobs)
    return [EvidenceLine(cause, bool(tests[cause][row]), *SENTENCES[cause](case, knobs, row)) for cause in tests]


Said = tuple[str, tuple[str, ...]]


def _name(case: Case, place: int) -> str:
    return case.classes[place] if place >= 0 else "nothing"


def _label(case: Case, knobs: Thresholds, row: int) -> Said:
    label, seeds = int(case.rows.labels[row]), witness(case, knobs, "seeds")
    if label < 0:
        return "The row has no label.", ()
    given = float(np.exp(case.rows.log_p[row, label]))
    text = f"The teacher gives the label {_name(case, label)} {given:.1%} (at most {knobs.doubt:.0%} is suspicious)"
    if seeds is None:
        return f"{text}; other seeds, of which {knobs.backing:.0%} would have to answer as it does, were not asked.", ()
    backing = (seeds.answers[:, row] == case.rows.teacher_top[row]).tolist()
    return f"{text}, and {_of_seeds(backing)} answer as it does (at least {knobs.backing:.0%}).", seeds.runs


def _teacher(case: Case, _: Thresholds, row: int) -> Said:
    label, answer = int(case.rows.labels[row]), int(case.rows.teacher_top[row])
    said = "nothing is known" if label < 0 else _name(case, label)
    return f"The teacher says {_name(case, answer)}; the label says {said}.", ()


def _both(case: Case, knobs: Thresholds, row: int) -> Said:
    answers = _name(case, int(case.rows.teacher_top[row])), _name(case, int(case.rows.student_top[row]))
    same = f"Both say {answers[0]}" if answers[0] == answers[1] else f"Teacher and student say {' and '.join(answers)}"
    return f"{same}; {_teacher(case, knobs, row)[0].partition('; ')[2]}", ()


def _support(case: Case, knobs: Thresholds, row: int) -> Said:
    far = limit(case, knobs)
    if far is None:
        return f"Distances to the training rows were not measured; beyond {knobs.far:g}% of theirs is far.", ()
    distance, own = float(case.part("support")["distance"][row]), case.part("support")["own"]
    return (
        f"Its 10th nearest training row is {distance:.3g} away in the teacher's features, farther than that of "
        f"{int((own < distance).sum()):,} of {len(own):,} training rows; beyond {knobs.far:g}%, {far:.3g}, is off the "
        "support.",
        (),
    )


def _runs(kind: str) -> Callable[[Case, Thresholds, int], Said]:
    def say(case: Case, knobs: Thresholds, row: int) -> Said:
        one, seeds = witness(case, knobs, kind), witness(case, knobs, "seeds")
        if one is None:
            return f"{WITNESSES[kind].capitalize()} was not evaluated.", ()
        verdict = "agrees" if one.share[row] > 0 else "does not agree"
        text = f"The answer of {WITNESSES[kind]} is {_name(case, int(one.answers[0, row]))}, which {verdict}"
        return f"{text} with the teacher; {_repeated(seeds, knobs, row)}", one.runs

    return say


def _repeated(seeds: Witness | None, knobs: Thresholds, row: int) -> str:
    if seeds is None:
        return f"whether {knobs.repeated:.0%} of other seeds would disagree as well was not asked."
    return f"{_of_seeds((~seeds.like_teacher[:, row]).tolist())} disagree as well (at least {knobs.repeated:.0%})."


def _of_seeds(held: list[bool]) -> str:
    """How many of the other seeds something holds of."""
    return f"{sum(held)} of {len(held)} other seeds"


def _noise(case: Case, knobs: Thresholds, row: int) -> Said:
    seeds = witness(case, knobs, "seeds")
    if seeds is None:
        return f"Other seeds, of which {knobs.otherwise:.0%} would have to be unlike this student, were not asked.", ()
    answers = ", ".join(_name(case, int(k)) for k in seeds.answers[:, row])
    count = round(float(unlike(case, seeds)[row]) * len(seeds.answers))
    text = f"Other seeds say {answers}: {count} of {len(seeds.answers)} are unlike this student"
    return f"{text} (at least {knobs.otherwise:.0%}).", seeds.runs


def _confidence(case: Case, knobs: Thresholds, row: int) -> Said:
    columns = case.rows.columns
    ours, theirs = float(columns["student confidence"][row]), float(columns["teacher confidence"][row])
    same = "Both give the same answer" if case.rows.student_top[row] == case.rows.teacher_top[row] else "They differ"
    return f"{same}, the teacher with {theirs:.1%}, the student with {ours:.1%} (apart beyond {knobs.gap:.0%}).", ()


SENTENCES: dict[Cause, Callable[[Case, Thresholds, int], Said]] = {
    "label_suspect": _label,
    "both_wrong": _both,
    "teacher_wrong": _teacher,
    "off_support": _support,
    "under_trained": _runs("longer"),
    "capacity": _runs("bigger"),
    "boundary_noise": _noise,
    "confidence_only": _confidence,
}
assert list(SENTENCES) == list(CAUSES)[:-1]
