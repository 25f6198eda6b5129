"""How the Lab speaks of runs, networks and numbers: plain sentences, short units."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from math import isfinite
from typing import Any

from app.text import run_names
from kdcore.contracts.method import ASKS
from kdcore.events import Meter
from kdcore.jobs.rows import Run
from kdcore.jobs.states import RESUMABLE, WORDS
from kdcore.spec.catalogue import entry
from kdcore.spec.schedule import Json
from kdcore.spec.spec import Choice, Spec, Wall

LINEAGES = {  # what is trained before the student, one and many
    "generations": ("a generation of the student", "generations of the student, each taught by the one before"),
    "assistants": ("an assistant between teacher and student", "assistants between teacher and student"),
    "peers": ("a mentor", "mentors"),
    "copies": ("another teacher", "other teachers"),
}

SPLITS = {"val": "validation samples", "test": "test samples", "train": "training samples", "given": "samples"}
ANSWERS = {
    "probabilities": "a probability for each class",
    "labels": "one class",
    "logits": "raw scores",
    "white_box": "everything inside",
}


def quantity(value: float, unit: str = "") -> str:
    """A count with three digits at most: 950, 12.3 k, 1.23 MB."""
    for size, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= 0.9995 * size:
            return f"{value / size:.3g} {prefix}{unit}"
    return f"{value:.0f} {unit}".strip()


def used_up(budget: int, meter: Meter, leaves: str, by_hand: int = 0) -> str:
    """What took a budget of images: learning comes first, but much of it may have gone to other measurements."""
    if not meter.looked and not by_hand:
        return f"learning comes first, and the budget of {budget:,} images {leaves}"
    hand = f"; {sent_by_hand(by_hand)}" if by_hand else ""
    return (
        f"the budget of {budget:,} images {leaves}: {meter.images:,} went to learning and {meter.looked:,} to other "
        f"measurements{hand}"
    )


def sent_by_hand(count: int) -> str:
    """Say how many queries a person sent beside those of the run."""
    return f"{count:,} {'query' if count == 1 else 'queries'} sent by hand"


def money(dollars: float) -> str:
    """An amount in dollars; below a cent with as many decimals as it takes to show it."""
    return f"${dollars:.2g}" if 0 < dollars < 0.005 else f"${dollars:,.2f}"


def paid(images: int, dollars: float, price: float) -> str:
    """What a number of queries cost, with the price."""
    queries = f"{images:,} {'query' if images == 1 else 'queries'}"
    return f"{queries}; cost {money(dollars)} ({money(price)} per 1,000)"


def answer(access: str, told: Wall | None) -> str:
    """What a teacher tells of an image, as its wall tells it."""
    if access != "probabilities" or told is None:
        return ANSWERS[access]
    kept = f"its {told.top:,} largest probabilities" if told.top else ANSWERS[access]
    rounded = f" rounded to {told.digits} decimals" if told.digits else ""
    return kept + rounded + (f" with noise of standard deviation {told.noise:g}" if told.noise else "")


def size(cost: Mapping[str, Any]) -> str:
    """What a network weighs."""
    parameters, work = (quantity(cost[key]) for key in ("parameters", "multiply_adds"))
    return f"{parameters} parameters · {work} multiply-adds per input · {quantity(cost['size_bytes'], 'B')} on disk"


def ratio(teacher: Mapping[str, Any], student: Mapping[str, Any]) -> str:
    """How much larger the teacher is."""
    parameters, work = (teacher[key] / max(student[key], 1) for key in ("parameters", "multiply_adds"))
    return f"The teacher has {parameters:.3g} times the student's parameters and {work:.3g} times its multiply-adds."


def named(kind: str, choice: Choice) -> str:
    """A thing's title, with the knob that tells its members apart."""
    member = next((value for key, value in choice.knobs.items() if key in ("variant", "width", "name")), None)
    return str(entry(kind, choice.name)["title"]) + (f" {member}" if kind == "model" and member is not None else "")


def demands(method: Mapping[str, Any], knobs: Mapping[str, Json]) -> str:
    """What a method of the catalogue takes besides teacher and student, in one line; "" where it is nothing."""
    said = []
    if (kind := method["lineage"]) in LINEAGES:
        count = int(str(knobs[kind])) - (kind in ("generations", "copies"))
        one, many = LINEAGES[kind]
        said += [f"First trains {one if count == 1 else f'{count} {many}'}."] if count > 0 else []
    if method["asks"]:
        said.append(f"Also requires {' and '.join(ASKS[ask] for ask in method['asks'])}.")
    return " ".join(said)


WALLS = {"logits": "black box (logits)", "probabilities": "black box (probabilities)",
         "labels": "black box (labels only)"}  # fmt: skip


def title(spec: Spec) -> str:
    """A run in one line: method, source, data set, networks and wall; the settings that differ from what is
    recommended; and what was changed during the run."""
    deviating, changed = run_names.deviations(spec), run_names.changes(spec)
    seed = [told for told in deviating[run_names.MOST :] if told == run_names.said("seed", spec.seed)]  # never left out
    rest, further = len(deviating) - run_names.MOST - len(seed), len(changed) - run_names.MOST
    more = [f"{rest} more setting{'s' if rest > 1 else ''}"] if rest > 0 else []
    marks = [*changed[: run_names.MOST], *([f"+{further} more"] if further > 0 else [])]
    told = [f"changed {'; '.join(marks)}"] if marks else []
    return " · ".join([kind(spec), *deviating[: run_names.MOST], *more, *seed, *told])


def verbatim(text: object) -> str:
    """Text for where Markdown is shown, such as what others wrote: file names, links, errors that quote them."""
    return re.sub(r"([\\`*_{}\[\]<>#$~|&])", r"\\\1", str(text))


UNPLANNED = "The form does not include changes made during the run; the command under Share does."


def unnamed(spec: Spec) -> str | None:
    """All that was changed during a run, where that is more than its title holds."""
    changed = run_names.changes(spec)
    return f"Changed {'; '.join(changed)}." if len(changed) > run_names.MOST else None


def broken_off(run: Run) -> str:
    """At which step a run ended before its last, "stopped at step 120 of 500"; "" where it did not."""
    return f"{WORDS[run.state]} at step {run.step:,} of {run.steps:,}" if run.state in RESUMABLE else ""


def heading(run: Run) -> str:
    """A run's title, and where it broke off."""
    return " · ".join(filter(None, (title(run.spec), broken_off(run))))


def headings(runs: Sequence[Run]) -> list[str]:
    """Those of runs that stand beside one another, each with what tells it from those of the same heading."""
    return run_names.distinct(list(map(heading, runs)), [run.spec for run in runs])


def labels(runs: Sequence[Run]) -> dict[str, str]:
    """Of runs by their ids what a list of them says: heading, what tells it from those of the same heading, and id."""
    return {run.id: f"{name} · {run.id[:4]}" for run, name in zip(runs, headings(runs), strict=True)}


def kind(spec: Spec) -> str:
    """What kind of run it is, whatever its settings: method, source, data set, teacher and student, wall."""
    student = named("model", spec.student)
    taught = (
        named("teacher", spec.service) if spec.service else named("model", spec.teacher.student) if spec.teacher else ""
    )
    pair = f"{taught} → {student}" if taught else student
    made = [] if spec.source.name in ("data", spec.method.name) else [named("source", spec.source)]
    walled = [WALLS[spec.access]] if spec.wall else []
    further = ["initialised from another run"] if spec.start else []
    return " · ".join([named("method", spec.method), *made, named("data", spec.data), pair, *walled, *further])


def percent(fraction: float) -> str:
    """A fraction as people read it; halfway between two tenths it is the larger, as in a browser's `toFixed`."""
    return f"{_tenths(fraction):.1f} %"


def _tenths(fraction: float) -> float:
    """A fraction in percent, to the tenth; not Python's rounding, which goes to the even one."""
    percents = 100 * float(fraction)
    if not isfinite(percents):
        return percents
    return float(Decimal(percents).quantize(Decimal("0.1"), ROUND_HALF_UP))


def points_apart(one: float, other: float) -> float:
    """By how many percentage points one fraction is above another, of the numbers that `percent` shows."""
    return round(_tenths(one) - _tenths(other), 1)


def share(count: int, rows: int) -> str:
    """A share as people read it, with the counts that it rests on; the rows must not be none."""
    return f"{percent(count / rows)} ({count:,} of {rows:,})"


def measured(notes: Mapping[str, float], name: str, chance: float) -> str:
    """A share that a frame measured, with its count where the frame holds that, and what chance gives."""
    rows = int(notes.get(f"{name}_rows", 0))
    counted = f"{round(notes[name] * rows):,} of {rows:,}; " if rows else ""
    return f"{percent(notes[name])} ({counted}chance is {percent(chance)})"


def repeats(count: int, errors: int, expected: float) -> str:
    """How many of a teacher's errors a student repeats, beside what its own habit would give."""
    if not errors:
        return "the teacher makes no errors"
    return f"repeats {count:,} of {errors:,} teacher errors ({percent(expected)} expected by chance)"


def stuck(result: Mapping[str, float]) -> str:
    """That nothing was learned, with the numbers that say so; "" where something was."""
    if "chance_nll" not in result:
        return ""
    loss = f"{result['student_nll']:.2f} nats" if "student_nll" in result else "not finite"
    return (
        f"Almost nothing was learned: {_counted(result)}, and the loss is {loss} ({result['chance_nll']:.2f} by "
        f"chance); {_advice(result)}."
    )


def _counted(result: Mapping[str, float]) -> str:
    """How many answers are right, and how many by chance; shares where a result of before says no number."""
    own, chance, rows = (result.get(name) for name in ("student_accuracy", "chance_accuracy", "test_rows"))
    if own is None or chance is None or not rows:
        return f"chance accuracy is {percent(result['chance_accuracy'])}"
    return f"{round(own * rows):,} of {rows:,.0f} are correct ({round(chance * rows):,} by chance)"


def _advice(result: Mapping[str, float]) -> str:
    """What to try; not the steps that a budget did not reach for."""
    rate = f"a learning rate other than {result['learning_rate']:g}"
    return f"try a larger budget, or {rate}" if result.get("spent") else f"try {rate}, or more steps"


def outcome(result: Mapping[str, float], taught: bool = False) -> str:
    """What came out, in a sentence or two; `taught` says that the network has a teacher, even if that was not asked."""
    return " ".join(filter(None, (_outcome(result, taught), stuck(result), unsteady(result))))


def unsteady(result: Mapping[str, float]) -> str:
    """That another run may end in other bits; "" where it cannot."""
    count = int(result.get("unsteady", 0))
    if not count:
        return ""
    subject = "One operation has" if count == 1 else f"{count} operations have"
    return f"{subject} no deterministic implementation on this GPU; results may differ slightly between runs."


def _outcome(result: Mapping[str, float], taught: bool) -> str:
    """How good the student is, beside its teacher where it has one."""
    student, teacher = result.get("student_accuracy"), result.get("teacher_accuracy")
    spent = " The query budget was used up before the last step." if result.get("spent") else ""
    if student is None:
        return f"The run ended without a test result.{spent}"
    if teacher is None:
        learner = "student" if taught else "network"
        return f"The {learner} is correct on {percent(student)} of {tested(result)}.{spent}"
    points = points_apart(student, teacher)
    gap = (
        "as often as its teacher"
        if not points
        else f"{abs(points):.1f} points {'above' if points > 0 else 'below'} its teacher ({percent(teacher)})"
    )
    agreement = ""
    if "agreement" in result:
        agreement = f" They agree on {percent(result['agreement'])} of {compared(result)}."
    asked = f" The teacher was queried with {compared(result)}." if "compared_rows" in result else ""
    return f"The student is correct on {percent(student)} of {tested(result)}, {gap}.{agreement}{asked}{spent}"


def tested(result: Mapping[str, float]) -> str:
    """What a test result was measured on; results of before say no number."""
    rows = result.get("test_rows")
    return f"{int(rows):,} test samples" if rows else "the test set"


def compared(result: Mapping[str, float]) -> str:
    """What both networks were compared on: a service is asked about a part of the test samples only."""
    rows = result.get("compared_rows")
    return f"{int(rows):,} of them" if rows else "them" if "test_rows" in result else "it"


def ago(moment_s: float, now_s: float | None = None) -> str:
    """How long ago something was, roughly."""
    passed_s = (time.time() if now_s is None else now_s) - moment_s
    for length_s, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if passed_s >= length_s:
            count = int(passed_s // length_s)
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"


def differences(specs: Sequence[Spec]) -> dict[str, list[Any]]:
    """Settings in which specs differ, by their path, with each one's value (None where it has no such setting).

    Where only some have a teacher, the teachers are told by name alone; so is the run that a student starts from.
    """
    flat = [dict(run_names.leaves("", spec.model_dump(mode="json", exclude={"start"}))) for spec in specs]
    for leaves, spec in zip(flat, specs, strict=True):
        leaves["start"] = f"{title(spec.start)} ({spec.start.hash})" if spec.start else None
        leaves["changes"] = "; ".join(run_names.changes(spec)) or None
    if not all(spec.teacher for spec in specs):
        for leaves, spec in zip(flat, specs, strict=True):
            for path in [path for path in leaves if path.startswith("teacher")]:
                del leaves[path]
            leaves["teacher"] = named("model", spec.teacher.student) if spec.teacher else None
    paths = sorted({path for one in flat for path in one})
    found = {path: [one.get(path) for one in flat] for path in paths}
    return {path: values for path, values in found.items() if any(value != values[0] for value in values)}
