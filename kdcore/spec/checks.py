"""What a spec alone cannot know: whether its data are there and its networks, teachers and method go together."""

from __future__ import annotations

from collections.abc import Sequence

from kdcore.contracts.method import JOINS
from kdcore.errors import BadInput
from kdcore.spec.catalogue import catalogue, entry, reads
from kdcore.spec.compatibility import misfit, stages_of
from kdcore.spec.registry import DATA
from kdcore.spec.spec import SEVERAL, Choice, Spec, methods_that

WITHOUT_LABELS = "kd"  # what needs no label


def check(spec: Spec) -> None:
    """Check what a spec alone cannot know, before a run starts and never of one that is only looked at.

    Raises:
        BadInput: the data are not there, a network cannot read them, a teacher knows other data, mentors are missing,
            there is nothing to learn from, or the method cannot join the two networks.
    """
    shape, classes = _signature(spec.data)
    DATA[spec.data.name].model_validate(spec.data.knobs).ready()
    _check_labels(spec)
    if entry("method", spec.method.name)["lineage"] in SEVERAL and not spec.mentors:
        raise BadInput(f"Method {spec.method.name!r} learns from several teachers, but the spec names no mentors.")
    teachers = [spec.teacher, *spec.mentors] if spec.teacher else spec.mentors
    for teacher in teachers:
        _check_same_data(teacher.data, spec.data, walled=spec.wall is not None)
    if spec.start:
        _check_same_data(spec.start.data, spec.data, "start")
    check_changes(spec)
    for role, choice in (("student", spec.student), *(("teacher", teacher.student) for teacher in teachers)):
        readers = sorted(name for name in catalogue()["model"] if reads(name, shape))
        if readers and choice.name not in readers:
            raise BadInput(
                f"The {role} {choice.name!r} cannot read inputs of {_told(shape, classes)}, as in {spec.data.name!r}; "
                f"what can: {', '.join(readers)}."
            )
    if spec.teacher and (reason := unjoined(spec.method, spec.student, spec.teacher.student, shape)):
        raise BadInput(reason)


def unjoined(method: Choice, student: Choice, teacher: Choice, shape: Sequence[int]) -> str | None:
    """One sentence on why a method cannot join two networks that read inputs of `shape`; None where it can."""
    joins = entry("method", method.name)["joins"]
    if joins == "any":
        return None
    ours, theirs = (stages_of(net.name, net.knobs, shape) for net in (student, teacher))
    reason = misfit(joins, ours, theirs) if ours and theirs else None
    if not ours or not theirs or not reason:
        return None
    others = methods_that(lambda one: bool(one["needs"]) and misfit(one["joins"], ours, theirs) is None)
    near = sorted(others, key=lambda name: entry("method", name)["family"] not in ("features", "blocks"))[:5]
    return (
        f"Method {method.name!r} {reason}; it takes {JOINS[joins]}, such as 'cnn' or 'resnet', and methods that join "
        f"these two are {', '.join(near)} and all of logits."
    )


def _check_same_data(teacher: Choice, student: Choice, role: str = "teacher", walled: bool = False) -> None:
    """Both agree on what they see and on the rows held out, so that none is trained on by either.

    Behind a wall a teacher may know other data; what it calls its first class is then taken for the first class here.
    """
    ours, theirs = _signature(student), _signature(teacher)
    if theirs != ours or (teacher.name != student.name and not walled):
        other = "shape and number of classes" if walled else "the data set, its input shape and its classes"
        raise BadInput(
            f"The {role} was trained on {teacher.name!r} ({_told(*theirs)}), but the student on {student.name!r} "
            f"({_told(*ours)}); they must agree on {other}."
        )
    for knob in ("seed", "validation") if teacher.name == student.name else ():
        if teacher.knobs[knob] != student.knobs[knob]:
            raise BadInput(
                f"The {role}'s data have {knob} {teacher.knobs[knob]}, the student's {student.knobs[knob]}; make them "
                "equal, or rows held out from one would be trained on by the other."
            )


def _signature(data: Choice) -> tuple[tuple[int, ...], int]:
    return DATA[data.name].model_validate(data.knobs).signature()


def _check_labels(spec: Spec) -> None:
    for one in (spec, *spec.mentors, *([spec.teacher] if spec.teacher else [])):
        if not one.data.knobs["label_fraction"] and not entry("method", one.method.name)["needs"]:
            raise BadInput(
                f"Method {one.method.name!r} learns from labels alone, but label_fraction 0 hides them all; let some "
                f"be seen, or choose a method with a teacher, such as {WITHOUT_LABELS!r}."
            )


def check_changes(spec: Spec) -> None:
    """Refuse a change that would never happen.

    Raises:
        BadInput: a change comes after the last of all steps.
    """
    late = next((one for one in spec.changes if one.step >= spec.steps), None)
    if late:
        said = f"{late.path!r} is to change at step {late.step}, but the run has {spec.steps} steps"
        raise BadInput(f"{said}; name one from 0 to {spec.steps - 1}.")


def _told(shape: tuple[int, ...], classes: int) -> str:
    return f"shape {'x'.join(map(str, shape))}, {classes} classes"
