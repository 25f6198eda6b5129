"""The verdict on a run behind a wall: what was learned, what it cost, what leaked, in sentences with their panels."""

from __future__ import annotations

from collections.abc import Mapping
from math import log
from typing import Literal, NamedTuple

from app.text.phrases import (
    answer,
    compared,
    measured,
    money,
    named,
    paid,
    percent,
    points_apart,
    quantity,
    sent_by_hand,
    stuck,
    tested,
    used_up,
)
from kdcore.blackbox.frontier import Reference, on_real
from kdcore.events import Finished, Meter
from kdcore.probes.copies import judged
from kdcore.runs.bill import Bill, bill, dollars
from kdcore.runs.ledger import Totals
from kdcore.spec.catalogue import entry
from kdcore.spec.query_limits import refusal
from kdcore.spec.spec import Measure, Spec

Part = Literal["learned", "cost", "leaked"]
PARTS: dict[Part, str] = {"learned": "What was learned", "cost": "What it cost", "leaked": "What leaked"}
UNSENT = {"real": "held-out images", "synthetic": "images that the student does not learn from"}
SHOWS = 0.5  # cycle accuracy from which inversions mostly show what was answered


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
    held: int  # held-out images on which the page measures
    by_hand: Totals  # images that a person sent from the microscope
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
        return Said("learned", "The run has no test result.", "accuracy")
    text = f"The student is correct on {percent(result['student_accuracy'])} of {tested(result)}"
    if "teacher_accuracy" in result:
        text += f", its teacher on {percent(result['teacher_accuracy'])} of {compared(result)}"
    if "agreement" in result:
        text += f"; they agree on {percent(result['agreement'])} of {compared(result)}"
    said = " ".join(filter(None, (f"{text}.", stuck(result))))
    return Said("learned", said, "fidelity" if "agreement" in result else "accuracy")


def _beside(facts: Facts) -> Said:
    """The honest reference: the same network on the edge's real images."""
    beside, own = facts.beside, facts.ended.result.get("student_accuracy")
    if beside is None or own is None:
        return Said("learned", f"{_alone(facts.spec)}.", "frontier")
    points = points_apart(own, beside.accuracy)
    gap = "as much as" if not points else f"{abs(points):.1f} points {'less' if points > 0 else 'more'} than"
    return Said(
        "learned",
        f"A student of the same size on the edge's {facts.local:,} real images themselves "
        f"({on_images(facts.spec, beside)}) reaches {percent(beside.accuracy)}, {gap} this one.",
        "frontier",
    )


def on_images(spec: Spec, beside: Reference) -> str:
    """The method of a run's reference, and its steps where they differ from the run's own."""
    own, other = spec.schedule.steps, beside.spec.schedule.steps
    steps = f", {other:,} steps against {own:,} here" if other != own else ""
    return named("method", beside.spec.method) + steps


def _alone(spec: Spec) -> str:
    """Why there is nothing to lay a run beside."""
    if on_real(spec):
        return (
            "This run itself learned on the edge's real images, and no other with this teacher did, so there is "
            "nothing beside it"
        )
    return (
        "No run with this teacher learned on the edge's real images themselves, so what the detour costs is not "
        "measured"
    )


def _inversions(facts: Facts) -> Said:
    if "cycle" not in facts.notes:
        text = f"Whether generated images show the predicted class was not measured{_because(facts, 'real')}."
        return Said("learned", text, "inversions")
    means = (
        "so the generated images mostly show the predicted class"
        if facts.notes["cycle"] >= SHOWS
        else "so the generated images look like the data but do not show the predicted class; do not interpret them"
    )
    cycle = measured(facts.notes, "cycle", 1 / facts.classes)
    return Said("learned", f"Cycle accuracy of the inversions is {cycle}, {means}.", "inversions")


def _coverage(facts: Facts) -> Said:
    entropy = facts.notes.get("class_entropy")
    if entropy is None:
        text = f"Which classes the synthetic images cover was not measured{_because(facts, 'synthetic')}."
        return Said("learned", text, "coverage")
    most = log(facts.classes)
    even = "nearly evenly" if entropy > 0.9 * most else "unevenly" if entropy > 0.5 * most else "hardly"
    return Said(
        "learned",
        f"The synthetic images cover the {facts.classes} classes {even}: class entropy {entropy:.2f} of at most "
        f"{most:.2f} nats, by the teacher's own predictions.",
        "coverage",
    )


# What it cost


def _costs(facts: Facts) -> list[Said]:
    meter, wall = facts.ended.meter, facts.spec.wall
    if meter is None or wall is None:
        return [Said("cost", "The teacher was no black box in this run, so queries were not counted.", "meter")]
    told = bill(facts.spec, meter)
    traffic = f"{quantity(meter.bytes_up, 'B')} sent and {quantity(meter.bytes_down, 'B')} received"
    said = [f"{paid(told.images, told.dollars, wall.price)}; {traffic}.", *_limits(facts, told, wall.budget)]
    if told.measuring:
        said.append(f"{told.learning:,} of them were for learning and {told.measuring:,} for measuring alone.")
    if meter.retried:
        said.append(f"{meter.retried:,} images were sent without a reply; they are not among those paid for here.")
    if facts.by_hand.images:
        said.append(
            f"By hand, from microscope and Inspector, {facts.by_hand.images:,} more images were sent, "
            f"{facts.by_hand.real:,} of them local or held-out ones; cost "
            f"{money(dollars(facts.by_hand.images, wall.price))}."
        )
    return [Said("cost", text, "meter") for text in said]


def _limits(facts: Facts, told: Bill, budget: int) -> list[str]:
    if facts.ended.spent:
        hand = f", with {sent_by_hand(_hand(facts))}" if _hand(facts) else ""
        return [f"The budget of {budget:,} images ended the run before its last step{hand}; it was not exceeded."]
    return [f"That is {percent(told.images / budget)} of the budget of {budget:,}."] if budget else []


# What leaked


def _sent(facts: Facts) -> list[Said]:
    meter = facts.ended.meter
    if meter is None:
        return []
    told = bill(facts.spec, meter)
    said = [_local(facts, meter, told)]
    if not facts.spec.remote:
        said.append(_simulated(facts))
    if facts.spec.service and "teacher_accuracy" not in facts.ended.result:
        why = _because(facts, "real", last=True)
        said.append(f"Agreement with the teacher was not measured{why}. The student's own accuracy needs no teacher.")
    return [Said("leaked", text, "meter") for text in said]


def _because(facts: Facts, level: Measure, last: bool = False) -> str:
    """Why somebody else's teacher was not asked about images of a level; "" where it runs here as a run of ours."""
    spec, meter = facts.spec, facts.ended.meter
    if spec.service is None or spec.wall is None or meter is None:
        return ""
    why = refusal(spec, meter, facts.local, level, last=last)
    if why == "permission":
        return f", because that would have sent it {UNSENT[level]}, which was not allowed"
    if why == "limit":
        return f", because the {spec.wall.looks:,} images that it may be sent for measuring alone were used up"
    return f", because {used_up(spec.wall.budget, meter, 'left too few for it', _hand(facts))}"


def _hand(facts: Facts) -> int:
    """How many queries sent by hand are part of the budget."""
    return facts.by_hand.images if facts.spec.remote else 0


def _local(facts: Facts, meter: Meter, told: Bill) -> str:
    """How many real images were sent, and what for."""
    if told.real is None:
        return (
            f"Local images sent to learn from: {meter.local:,}. {told.measuring:,} more images were sent for "
            "measuring, held-out and local ones among them; this run is too old to say how many."
        )
    by_hand = facts.by_hand.real if facts.spec.remote else 0
    if by_hand and not told.real:
        return f"Real images sent: 0 by the run, {by_hand:,} local or held-out ones by hand afterwards."
    if not told.real:
        return (
            f"Real images sent: 0 of the edge's {facts.local:,} and 0 held-out ones. Only synthetic images were sent."
        )
    measured = told.real - meter.local
    more = f"; {by_hand:,} local or held-out ones more by hand" if by_hand else ""
    also = f", and {measured:,} local or held-out ones for measuring" if measured else ""
    return (
        f"Real images sent: {told.real:,}. {meter.local:,} local images (or mixes of them) to learn from{also}{more}."
    )


def _simulated(facts: Facts) -> str:
    """What was measured on a teacher that is no cloud."""
    seen = facts.ended.meter.looked_real if facts.spec.service and facts.ended.meter else None
    return (
        f"Measured for this page on {facts.held if seen is None else seen:,} held-out images. The teacher runs on this "
        "machine; a real cloud would have seen them."
    )


def _copies(facts: Facts) -> Said:
    """Whether synthetic images copy local ones, what that rests on, and how much the test would have found."""
    found = judged(facts.notes)
    told = f"{found.verdict} {found.counts} {found.power}".split()
    if found.outcome in ("copies", "closer"):
        told.append("The queries reveal something about the local images.")
    return Said("leaked", " ".join(told), "copies")


def _taken(facts: Facts) -> list[Said]:
    """What the cloud gave away."""
    meter, result = facts.ended.meter, facts.ended.result
    agreed = result.get("agreement")
    if meter is None:
        return []
    told = answer(facts.spec.access, facts.spec.wall)
    hand = _hand(facts)
    asked, of = bill(facts.spec, meter).images + hand, f" ({sent_by_hand(hand)})" if hand else ""
    text = f"The teacher answered {asked:,} queries{of}, each with {told}"
    if agreed is not None:
        rows = int(result.get("compared_rows") or result.get("test_rows") or 0)
        counted = f" ({round(agreed * rows):,} of {rows:,})" if rows else ""
        text += f"; the student agrees with it on {percent(agreed)} of unseen test images{counted}"
    return [Said("leaked", f"{text}.", "fidelity")]
