"""The verdict on a run behind a wall: what was learned, what it cost, what leaked, in sentences with their panels."""

from __future__ import annotations

from collections.abc import Mapping
from math import log
from typing import Literal, NamedTuple

from app.words import compared, named, percent, quantity, tested
from kdcore.catalogue import entry
from kdcore.events import Finished, Meter
from kdcore.frontier import Reference
from kdcore.probes.copies import judged
from kdcore.spec import Spec

Part = Literal["learned", "cost", "leaked"]
PARTS: dict[Part, str] = {"learned": "What was learned", "cost": "What it cost", "leaked": "What leaked"}
SHOWS = 0.5  # cycle accuracy from which inversions mostly show what was answered
TOLD = {"probabilities": "a probability for each class", "labels": "one class", "logits": "raw scores"}


class Said(NamedTuple):
    """One sentence or two, and the panel or section that shows them."""

    part: Part
    text: str
    panel: str


class Facts(NamedTuple):
    """All that the verdict reads."""

    spec: Spec
    ended: Finished
    notes: Mapping[str, float]  # what the last frame measured
    classes: int
    local: int  # images that the edge owns
    beside: Reference | None  # a student that learned on those images themselves


def verdict(facts: Facts) -> list[Said]:
    """What there is to say, part by part; what was not measured is said to be so."""
    source = entry("source", facts.spec.source.name)
    makes = source["makes"]
    return [
        _quality(facts),
        _beside(facts),
        *([_inversions(facts)] if "inverse" in entry("method", facts.spec.method.name)["asks"] else []),
        *([_coverage(facts)] if makes else []),
        *_costs(facts),
        *_sent(facts),
        *([_copies(facts)] if makes and not source["local"] else []),
        *_taken(facts),
    ]


# What was learned


def _quality(facts: Facts) -> Said:
    result = facts.ended.result
    if "student_accuracy" not in result:
        return Said("learned", "The run left no test result, so nothing is known of what was learned.", "accuracy")
    text = f"The student is right on {percent(result['student_accuracy'])} of {tested(result)}"
    if "teacher_accuracy" in result:
        text += f", its teacher on {percent(result['teacher_accuracy'])} of {compared(result)}"
    if "agreement" in result:
        text += f"; they give the same answer on {percent(result['agreement'])} of {compared(result)}"
    return Said("learned", f"{text}.", "fidelity" if "agreement" in result else "accuracy")


def _beside(facts: Facts) -> Said:
    """The honest reference: the same network on the edge's real images."""
    beside, own = facts.beside, facts.ended.result.get("student_accuracy")
    if beside is None or own is None:
        return Said(
            "learned",
            "No run here learned on the edge's real images themselves, so what the detour costs is not measured.",
            "frontier",
        )
    points = 100 * (own - beside.accuracy)
    gap = "as much as" if abs(points) < 0.05 else f"{abs(points):.1f} points {'less' if points > 0 else 'more'} than"
    return Said(
        "learned",
        f"A student of the same size on the edge's {facts.local:,} real images themselves "
        f"({named('method', beside.spec.method)}) reaches {percent(beside.accuracy)}, {gap} this one.",
        "frontier",
    )


def _inversions(facts: Facts) -> Said:
    cycle = facts.notes.get("cycle")
    if cycle is None:
        return Said("learned", "Whether images of answers show what was answered was not measured.", "inversions")
    means = (
        "so the images of answers mostly show the class that was answered"
        if cycle >= SHOWS
        else "so the images of answers look like the data but do not show what was answered; do not read them so"
    )
    chance = f"chance is {percent(1 / facts.classes)}"
    return Said("learned", f"Cycle accuracy of the inversions is {percent(cycle)} ({chance}), {means}.", "inversions")


def _coverage(facts: Facts) -> Said:
    entropy = facts.notes.get("class_entropy")
    if entropy is None:
        return Said("learned", "Which classes the made images cover was not measured.", "coverage")
    most = log(facts.classes)
    even = "nearly evenly" if entropy > 0.9 * most else "unevenly" if entropy > 0.5 * most else "hardly"
    return Said(
        "learned",
        f"The made images cover the {facts.classes} classes {even}: class entropy {entropy:.2f} of at most {most:.2f} "
        "nats, by the teacher's own answers.",
        "coverage",
    )


# What it cost


def _costs(facts: Facts) -> list[Said]:
    meter, wall = facts.ended.meter, facts.spec.wall
    if meter is None or wall is None:
        return [Said("cost", "No wall stood between teacher and student, so nobody counted.", "meter")]
    money = f"{meter.images / 1000 * wall.price:,.2f} at {wall.price:g} a thousand" if wall.price else "nothing"
    traffic = f"{quantity(meter.bytes_up, 'B')} up and {quantity(meter.bytes_down, 'B')} down"
    told = [Said("cost", f"{meter.images:,} different images were asked about, for {money}: {traffic}.", "meter")]
    return [*told, *_limits(facts, meter, wall.budget), *_besides(meter)]


def _limits(facts: Facts, meter: Meter, budget: int) -> list[Said]:
    if facts.ended.spent:
        text = f"The budget of {budget:,} images was used up before the last step, and nothing was asked beyond it."
        return [Said("cost", text, "meter")]
    if budget:
        return [Said("cost", f"That is {percent(meter.images / budget)} of the budget of {budget:,}.", "meter")]
    return []


def _besides(meter: Meter) -> list[Said]:
    """What was asked without being learned from, and what was lost on the way."""
    said = []
    if meter.looked:
        said.append(f"Measuring asked about {meter.looked:,} further images, which are counted apart.")
    if meter.retried:
        said.append(f"{meter.retried:,} images were sent again because an answer was lost on the way.")
    return [Said("cost", text, "meter") for text in said]


# What leaked


def _sent(facts: Facts) -> list[Said]:
    meter = facts.ended.meter
    if meter is None:
        return []
    if not meter.local:
        text = f"Local images sent: 0. None of the edge's {facts.local:,} images left it; only made images did."
    else:
        text = (
            f"Local images sent: {meter.local:,}. The cloud has seen them; they are the edge's own, or made of those."
        )
    return [Said("leaked", text, "meter")]


def _copies(facts: Facts) -> Said:
    """Whether synthetic images copy local ones, what that rests on, and how much the test would have found."""
    found = judged(facts.notes)
    told = f"{found.verdict} {found.counts} {found.power}".split()
    if found.outcome in ("copies", "closer"):
        told.append("What was sent reveals something of the local images.")
    return Said("leaked", " ".join(told), "copies")


def _taken(facts: Facts) -> list[Said]:
    """What the cloud gave away."""
    meter, agreed = facts.ended.meter, facts.ended.result.get("agreement")
    if meter is None or agreed is None:
        return []
    text = (
        f"The teacher gave away {meter.images:,} answers, each {TOLD[facts.spec.access]}; on new images the student "
        f"now answers as it does {percent(agreed)} of the time."
    )
    return [Said("leaked", text, "fidelity")]
