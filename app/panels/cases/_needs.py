"""What a panel of a case may be missing, each in one sentence."""

from collections.abc import Callable

from kdcore.cases.case import Case
from kdcore.cases.trail import trail as steps

Lacks = Callable[[Case], str | None]


def first(*checks: Lacks) -> Lacks:
    """The first thing that is missing."""
    return lambda case: next((sentence for check in checks if (sentence := check(case))), None)


def teacher(case: Case) -> str | None:
    return None if case.rows.teacher is not None else "There is no teacher here to compare the student with."


def labels(case: Case) -> str | None:
    return None if (case.rows.labels >= 0).any() else "No row has a label, so nobody can be right or wrong."


def pictures(case: Case) -> str | None:
    return None if case.pictures is not None else "The rows themselves were not given, only the answers about them."


def trail(case: Case) -> str | None:
    return None if steps(case) else "The student's run kept no frames on this machine, so its way is unknown."


def part(name: str, sentence: str) -> Lacks:
    """Arrays that a task measures when it is asked to."""
    return lambda case: None if case.part(name) else sentence


answered = first(teacher, labels)
