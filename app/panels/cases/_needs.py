"""What a panel of a case may be missing, each in one sentence."""

from collections.abc import Callable

from kdcore.comparison.case import Case
from kdcore.comparison.checkpoint_history import trail as steps
from kdcore.comparison.question import asked
from kdcore.errors import BadInput

Lacks = Callable[[Case], str | None]


def first(*checks: Lacks) -> Lacks:
    """Return the first thing that is missing."""
    return lambda case: next((sentence for check in checks if (sentence := check(case))), None)


def teacher(case: Case) -> str | None:
    return None if case.rows.teacher is not None else "There is no teacher to compare the student with."


def labels(case: Case) -> str | None:
    return None if (case.rows.labels >= 0).any() else "No sample has a label, so correctness is unknown."


def pictures(case: Case) -> str | None:
    return None if case.pictures is not None else "Only outputs were uploaded, not the samples themselves."


def trail(case: Case) -> str | None:
    return None if steps(case) else untrailed(case, "no frames")


def untrailed(case: Case, kept: str) -> str:
    """Why nobody knows how the student learned; `kept` is what its run has, where it is a run."""
    try:
        student = asked(case.folder).student
    except BadInput:
        return "The student is an uploaded file of outputs, not a run, so its training is unknown."
    if student.folder is None:
        return "The student is a service, not a run, so its training is unknown."
    return f"The student's run kept {kept} on this machine, so its way is unknown."


def part(name: str, sentence: str) -> Lacks:
    """Arrays that a task measures when it is asked to."""
    return lambda case: None if case.part(name) else sentence


answered = first(teacher, labels)
