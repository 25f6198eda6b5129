"""What a data set recommends, and which runs come before a run: the teachers that a method's lineage asks for.

A person chooses one teacher and one student; `lineage` adds what stands between and beside them. It is idempotent, and
`rooted` takes away again what it added.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log

from kdcore.errors import BadInput
from kdcore.spec import row_ranges
from kdcore.spec.catalogue import catalogue, cost_of, entry, reads
from kdcore.spec.checks import unjoined
from kdcore.spec.registry import DATA
from kdcore.spec.schedule import Json, Schedule
from kdcore.spec.spec import Choice, Spec, parse

MAPS = "cnn"  # a family whose stages are maps, for images of any size

SLOWER = 0.1  # of the learning rate, for a run that goes on from another
APART = 1000  # between the seeds of the first teacher of generations and of those after it


def recommended(
    data: str = "digits",
    method: str = "kd",
    *,
    data_knobs: Mapping[str, Json] | None = None,
    method_knobs: Mapping[str, Json] | None = None,
    seed: int = 0,
    teacher_seed: int = 0,
) -> Spec:
    """Return the run a data set recommends for itself on two cores: its teacher, its student, its schedules.

    A method of generations starts from a network like the student, trained alone from other weights; other runs that a
    method wants to come first are added as `lineage` says. A method that cannot join the two gets others,
    and one with a steep loss a lower learning rate.
    """
    recipe = entry("data", data)["recipe"]
    shown = Choice(name=data, knobs=dict(data_knobs or {}))
    chosen = Choice(name=method, knobs=dict(method_knobs or {}))
    advised = (Choice(name=name, knobs=knobs) for name, knobs in (recipe["teacher"], recipe["student"]))
    teacher, student = _joinable(chosen, shown, *advised)
    plain = source = Choice(name="data", knobs={"augment": recipe["augment"]})
    if "inverse" in entry("method", method)["asks"]:
        source = Choice(name=next(name for name, one in catalogue()["source"].items() if one["inverts"]))
    taught = Schedule(**recipe["teacher_schedule"])
    root = Spec(data=shown, source=plain, student=teacher, method=Choice(name="ce"), schedule=taught, seed=teacher_seed)
    schedule = paced(Schedule(**recipe["schedule"]), method)
    return lineage(
        alike(
            Spec(data=shown, source=source, student=student, method=chosen, teacher=root, schedule=schedule, seed=seed)
        )
    )


def alike(spec: Spec) -> Spec:
    """For a method of generations, the spec with a first teacher like the student, trained alone from other weights."""
    if spec.teacher is None or entry("method", spec.method.name)["lineage"] != "generations":
        return spec
    own = {"student": spec.student, "schedule": spec.schedule, "seed": spec.teacher.seed + APART}
    return spec.model_copy(update={"teacher": spec.teacher.model_copy(update=own)})


def paced(schedule: Schedule, method: str) -> Schedule:
    """Return the schedule at the learning rate that suits a method; Adam's steps do not grow with a loss."""
    rate = entry("method", method)["rate"] if schedule.optimizer == "sgd" else 1.0
    return schedule.model_copy(update={"lr": schedule.lr * rate})


def _joinable(method: Choice, data: Choice, teacher: Choice, student: Choice) -> tuple[Choice, Choice]:
    """Teacher and student, or the nearest to them that the method can join: a small one of the teacher's family, or
    two of maps alone; the two themselves where none can be joined."""
    shape = _signature(data)[0]
    tries = [(teacher, student), (teacher, _smallest(teacher.name, shape))]
    if reads(MAPS, shape):
        tries.append((Choice(name=MAPS, knobs={"width": 32}), _smallest(MAPS, shape)))
    return next((pair for pair in tries if unjoined(method, pair[1], pair[0], shape) is None), tries[0])


def _signature(data: Choice) -> tuple[tuple[int, ...], int]:
    return DATA[data.name].model_validate(data.knobs).signature()


def _smallest(model: str, shape: tuple[int, ...]) -> Choice:
    """Return the member of a family with the fewest parameters."""
    rows = [row for row in entry("model", model)["costs"] if row["shape"] == list(shape)]
    return Choice(name=model, knobs=dict(min(rows, key=lambda row: row["parameters"][0])["knobs"]))


def lineage(spec: Spec) -> Spec:
    """Return the spec with the teachers that its method asks for; unchanged where the method takes one teacher or
    none.
    """
    kind = entry("method", spec.method.name)["lineage"]
    if kind == "teacher" or spec.teacher is None:
        return spec
    asked, spec = spec, rooted(spec).model_copy(update={"start": None, "changes": ()})
    count = int(str(spec.method.knobs[kind]))
    add = {"generations": _generations, "assistants": _assistants, "peers": _peers, "copies": _copies}[kind]
    return add(spec, count).model_copy(update={"start": asked.start, "changes": asked.changes})


def rooted(spec: Spec) -> Spec:
    """Return the spec with the one teacher that a person chose."""
    root = spec.teacher
    if entry("method", spec.method.name)["lineage"] == "teacher" or root is None:
        return spec
    while root.teacher:
        root = root.teacher
    return spec.model_copy(update={"teacher": root, "mentors": ()})


def between(spec: Spec, share: float) -> Choice:
    """Return the network whose size is nearest to (student's size)^(1 - share) * (teacher's size)^share.

    It is of the teacher's or the student's family; the teacher itself where no size is known.
    """
    assert spec.teacher is not None
    shape, classes = _signature(spec.data)
    ends = (spec.student, spec.teacher.student)
    sizes = [cost_of(choice.name, choice.knobs, shape, classes) for choice in ends]
    if sizes[0] is None or sizes[1] is None:
        return spec.teacher.student
    wish = (1 - share) * log(sizes[0]["parameters"]) + share * log(sizes[1]["parameters"])
    known = {
        (choice.name, tuple(row["knobs"].items())): cost_of(choice.name, row["knobs"], shape, classes)
        for choice in ends
        for row in entry("model", choice.name)["costs"]
        if row["shape"] == list(shape)
    }
    name, knobs = min(known, key=lambda one: abs(log((known[one] or {})["parameters"]) - wish))
    return Choice(name=name, knobs=dict(knobs))


def _generations(spec: Spec, count: int) -> Spec:
    """Let generation `count` learn from the one before, the first from the chosen teacher; each has its own seed."""
    teacher = spec.teacher
    for generation in range(1, count + 1):
        knobs = spec.method.knobs | {"generations": generation}
        method, seed = Choice(name=spec.method.name, knobs=knobs), spec.seed + count - generation
        teacher = spec.model_copy(update={"method": method, "seed": seed, "teacher": teacher})
    assert teacher is not None
    return teacher


def _assistants(spec: Spec, count: int) -> Spec:
    """Return a chain of networks, each smaller than the one before and taught by it."""
    teacher = spec.teacher
    for place in range(count, 0, -1):
        assert teacher is not None
        assistant = between(spec, place / (count + 1))
        own = {"student": assistant, "teacher": teacher, "schedule": teacher.schedule, "seed": teacher.seed}
        teacher = spec.model_copy(update=own)
    return spec.model_copy(update={"teacher": teacher})


def _peers(spec: Spec, count: int) -> Spec:
    """Mentors that learned alone, from the student's size up to below the teacher's."""
    assert spec.teacher is not None
    peers = [
        spec.teacher.model_copy(
            update={"student": between(spec, place / count), "schedule": spec.schedule, "seed": spec.seed + 1 + place}
        )
        for place in range(count)
    ]
    return spec.model_copy(update={"mentors": tuple(peers)})


def _copies(spec: Spec, count: int) -> Spec:
    """Teachers like the chosen one, from other seeds; `count` of them with the chosen one."""
    assert spec.teacher is not None
    root = spec.teacher
    copies = [root.model_copy(update={"seed": root.seed + place}) for place in range(1, count)]
    return spec.model_copy(update={"mentors": tuple(copies)})


def taught(spec: Spec) -> bool:
    """Whether a network learns from others: a teacher, or mentors."""
    return bool(spec.teacher or spec.service or spec.mentors)


def members(spec: Spec) -> list[Spec]:
    """Return a spec and all runs that come before it: teachers, mentors and the run it starts from, and theirs."""
    before = [one for one in (spec.teacher, *spec.mentors, spec.start) if one]
    return [spec, *(one for earlier in before for one in members(earlier))]


def forerunners(spec: Spec) -> dict[str, str]:
    """Return what each network that is trained before a spec's student is to it, such as "assistant 1", by its
    spec's hash.
    """
    kind, chain = entry("method", spec.method.name)["lineage"], _chain(spec)
    named = {"generations": "generation", "assistants": "assistant"}.get(kind)
    teacher, between = (chain[:1], chain[1:]) if named else (chain[-1:], chain[:-1])
    found = {one.hash: "teacher" for one in teacher} | _numbered(named or "earlier teacher", between)
    if kind == "copies":
        found |= {one.hash: f"teacher {place + 2}" for place, one in enumerate(spec.mentors)}
    else:
        found |= _numbered("mentor", spec.mentors)
    return found | ({spec.start.hash: "starting network"} if spec.start else {})


def _chain(spec: Spec) -> list[Spec]:
    """Return the spec's teacher, that one's teacher and so on, the first to be trained first."""
    return [*_chain(spec.teacher), spec.teacher] if spec.teacher else []


def _numbered(name: str, specs: Sequence[Spec]) -> dict[str, str]:
    return {one.hash: name if len(specs) == 1 else f"{name} {place + 1}" for place, one in enumerate(specs)}


def further(spec: Spec, rows: Sequence[int], steps: int = 200) -> Spec:
    """Return the run that goes on from the final weights of `spec` with a half of each batch from some training rows.

    It learns at a tenth of the learning rate, as its optimiser begins anew; of too many rows it takes as many as a
    slice may name, spread evenly.

    Raises:
        BadInput: the run's source makes its images, so it has no training rows; or no rows are named.
    """
    if entry("source", spec.source.name)["makes"] or not rows:
        raise BadInput(
            "More steps on a slice need training rows, but this run's source makes its images; choose a run on the "
            "data themselves."
            if rows
            else "No training row is in this slice, so nothing can be learned from it; select another."
        )
    ordered = sorted(rows)
    count = min(len(ordered), row_ranges.MOST)
    taken = [ordered[place * len(ordered) // count] for place in range(count)]
    source = {"augment": spec.source.knobs.get("augment", "none"), "rows": row_ranges.written(taken)}
    schedule = spec.schedule.model_copy(update={"steps": steps, "lr": spec.schedule.lr * SLOWER, "warmup": 0.0})
    own = {"start": spec, "changes": (), "source": Choice(name="slice", knobs=source), "schedule": schedule}
    return parse(spec.model_copy(update=own).model_dump(mode="json"))
