"""What a panel may be missing, each in one sentence for the person in front of it."""

from collections.abc import Callable

from app.text.consent import WITHHELD
from app.text.phrases import used_up
from kdcore.events import Meter
from kdcore.runs.record import Record
from kdcore.spec.query_limits import refusal
from kdcore.spec.spec import Measure


class Later(str):
    """A sentence about what comes while the run goes on; of one that is over it would not be true."""


class Alone(str):
    """A sentence about the teacher that a run has not got."""


Lacks = Callable[[Record], str | None]


UNMEASURED = (
    "Not measured: this would send {what} to the remote teacher. To allow that, set \u201cAlso send for "
    "measuring\u201d on the Black box page, or add --set wall.measure={level}, and run again."
)
LIMITED = (
    "Not measured: the {looks:,} images that may be sent for measuring alone are used up. To allow more, add "
    "--set wall.looks=N, and run again."
)
SPENT = "Not measured: {why}. Raise the budget and run again."
PROBED, PICTURED = 512, 36  # images that measuring asks about at once: probe rows at most, and pictures of a generator
NEEDS = {"real": "local or held-out images", "synthetic": "images that the student does not learn from"}


def _unmeasured(record: Record, level: Measure) -> str | None:
    """Why somebody else's teacher was not measured; None where it still may be sent images of such a level."""
    wall, began = record.spec.wall, record.started
    if record.spec.service is None or wall is None:
        return None
    meter = record.meters[-1][1] if record.meters else Meter()
    rows = began.rows if began else {}
    need = min(PROBED, rows.get("val", PROBED)) if level == "real" else PICTURED
    ends = not record.ended and (wall.measure == "real" or not record.spec.remote)  # by asking about the test split
    closing = min(PROBED, rows.get("test", PROBED)) if ends else 0
    why = refusal(record.spec, meter, rows.get("train", 0), level, need, closing=closing)
    if why == "permission":
        return UNMEASURED.format(what=NEEDS[level], level=level)
    if why is None or not record.frames:
        return None
    if why == "limit":
        return LIMITED.format(looks=wall.looks)
    return SPENT.format(why=used_up(wall.budget, meter, "leaves too few for this", record.by_hand))


def first(*checks: Lacks) -> Lacks:
    """Return the first thing that is missing."""
    return lambda record: next((sentence for check in checks if (sentence := check(record))), None)


def rows(*names: str) -> Lacks:
    """Rows of an edge, which an export leaves out unless that is allowed."""
    return lambda record: WITHHELD if record.withheld.intersection(names) else None


def steps(record: Record) -> str | None:
    return None if record.steps else Later("No loss yet; the first point appears within a few steps.")


def scores(record: Record) -> str | None:
    missing = Later("No accuracy yet; it appears with the first loss point.")
    return None if record.steps or record.evaluations else missing


def answers(record: Record) -> str | None:
    ready = "probe_labels" in record.static and "student_logits" in record.frame
    return None if ready else Later("No student outputs yet; they appear with the first frame.")


def teacher(record: Record) -> str | None:
    if "teacher_logits" in record.static:
        return None
    if record.spec.teacher is None and record.spec.service is None:
        return Alone("This run has no teacher, so there is nothing to compare the student with.")
    return _unmeasured(record, "real") or Later("No teacher outputs yet; they appear with the first frame.")


def evaluations(record: Record) -> str | None:
    missing = Later("Student and teacher have not been compared yet; the first validation pass does that.")
    if any(seen.kl is not None for seen in record.evaluations):
        return None
    return _unmeasured(record, "real") or missing


def recorded(*names: str) -> Lacks:
    """Arrays of the frame, or of what stays, that only some runs have."""

    def check(record: Record) -> str | None:
        there = all(name in record.frame or name in record.static for name in names)
        missing = Later("Not recorded yet; methods that record it do so with the first frame.")
        return None if there else _unmeasured(record, "real") or missing

    return check


def seen(*names: str) -> Lacks:
    """Arrays of the frame that tell what a source makes, and the answers that not every look gets."""

    def check(record: Record) -> str | None:
        there = all(name in record.frame or name in record.static for name in names)
        missing = Later("Not measured yet; it is measured with a frame, if the query budget allows.")
        return None if there else _unmeasured(record, "real") or missing

    return check


def followed(*names: str) -> Lacks:
    """Numbers that frames tell."""

    def check(record: Record) -> str | None:
        told = any(name in frame.notes for frame in record.frames for name in names)
        missing = Later("Not measured yet; the next frame that measures it will show it.")
        return None if told else _unmeasured(record, "synthetic") or missing

    return check


def meter(record: Record) -> str | None:
    missing = Later("No queries counted yet; the count appears with the first loss point.")
    return None if record.spec.wall and record.meters else missing


def notes(record: Record) -> str | None:
    missing = Later("No diagnostics yet; they appear with the first loss point.")
    return None if any(step.notes for step in record.steps) else missing


def plane(record: Record) -> str | None:
    if not record.static:
        return Later("No plane yet; it appears with the first frame.")
    return None if "extent" in record.static else "Only data with two features have a plane; choose a 2-D toy data set."


def field(record: Record) -> str | None:
    return None if "field_class" in record.frame else Later("Nothing drawn yet; it appears with the first frame.")
