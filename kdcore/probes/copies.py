"""Whether synthetic images are copies of local ones: distances to these and to held-out images, and three tests."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from kdcore.probes._numerics import Floats, Ints
from kdcore.probes._rows import newest
from kdcore.runs.record import Record

BINS = 24
LEVEL = 0.02  # of each of the two tests, as in `kdcore.engine.copy_test`
FEWEST = 50  # held-out images without which nothing is said
WEAK = 0.1  # share of copies that must be found with probability .8, or nothing is said
UNSOUGHT = "Mirrored and inverted copies are not looked for."
NOTES = (
    "copies_judged", "copies_held", "copies_matched", "copies_closer", "copies_closer_p", "copies_p", "nearer_local",
    "copies_finds", "copies_finds_exact", "copies_twins", "copies_references", "copies_nearest", "copies_local",
)  # fmt: skip

Outcome = Literal["copies", "closer", "none", "unknown"]


class Judged(NamedTuple):
    """What the test says, in sentences that hold anywhere."""

    outcome: Outcome
    verdict: str
    counts: str  # what it rests on; "" where nothing was counted
    power: str  # what it would have found; "" where that is not known


@dataclass(frozen=True)
class Copies:
    """Distances are root mean squares over values from 0 to 1, the smallest over shifts of up to a pixel."""

    centre: Floats  # (B,) of the bins
    local: Ints  # (B,) synthetic images by the distance to the nearest local image
    held: Ints  # (B,) to the nearest held-out image
    local_median: float
    held_median: float
    nearest_local: int  # real images that are the nearest to some synthetic one and local
    nearest: int  # all of them
    p: float  # of so many local ones or more, if the generator knew none of them (one-sided sign test)
    judged: Judged


def copies(record: Record) -> Copies:
    """Copies are closer to local images (left) than to held-out images, which the generator has not seen.

    All local images are searched. A match is an image at less than half of the relative distance of any held-out
    image; one is enough. "Closer" counts images closer to a local one than the closest hundredth of held-out images.
    Of generators that never saw the local images at most one in twenty is flagged at a given frame; one fitted to few
    of them can be closer to them without copying any. Mirrored and inverted copies are not looked for.
    """
    local, held = (np.asarray(record.frame[f"made_to_{which}"], dtype=np.float64) for which in ("local", "held"))
    edges = np.linspace(0, max(float(local.max()), float(held.max()), 1e-6), BINS + 1)
    ours, others = (int(count) for count in record.frame["nearest_real"])
    notes = {name: newest(record, name) for name in NOTES}
    return Copies(
        centre=(edges[1:] + edges[:-1]) / 2,
        local=np.histogram(local, edges)[0].astype(np.int64),
        held=np.histogram(held, edges)[0].astype(np.int64),
        local_median=float(np.median(local)),
        held_median=float(np.median(held)),
        nearest_local=ours,
        nearest=ours + others,
        p=notes["copies_p"],
        judged=judged(counted(record, {name: value for name, value in notes.items() if value == value})),
    )


def counted(record: Record, notes: Mapping[str, float]) -> dict[str, float]:
    """A frame's numbers, with the counts behind its share of nearest images, which older runs hold in arrays alone."""
    nearest = record.frame.get("nearest_real")
    if "nearer_local" not in notes or nearest is None or record.started is None:
        return dict(notes)
    return {"copies_nearest": float(nearest.sum()), "copies_local": float(record.started.rows["train"]), **notes}


def judged(notes: Mapping[str, float]) -> Judged:
    """What a frame's numbers say of copies; what is absent was not measured."""
    if "copies_judged" not in notes:
        missing = (
            "this run was recorded before the test could detect copies" if notes else "too few images are held out"
        )
        return Judged("unknown", f"Cannot tell whether synthetic images copy local ones: {missing}.", "", "")
    outcome, verdict = _verdict(notes)
    return Judged(outcome, verdict, _counts(notes), _power(notes))


def _verdict(notes: Mapping[str, float]) -> tuple[Outcome, str]:
    images, matched = int(notes["copies_judged"]), int(notes["copies_matched"])
    if matched:
        match = "matches a local image" if matched == 1 else "match local images"
        return "copies", f"{matched:,} of {images:,} synthetic images {match} exactly or nearly."
    if min(notes["copies_closer_p"], notes["copies_p"]) < LEVEL:
        return "closer", "Synthetic images lie closer to local images than to held-out ones."
    if reason := _weakness(notes):
        return "unknown", f"Cannot tell whether synthetic images copy local ones: {reason}."
    return "none", f"No copies above {_limits(notes)} found among {images:,} synthetic images; cannot tell below that."


def _limits(notes: Mapping[str, float]) -> str:
    """The shares of copies below which finding none says nothing."""
    exact, altered = notes.get("copies_finds_exact"), _percent(notes["copies_finds"])
    return altered if exact is None else f"{_percent(exact)} (exact) or {altered} (altered)"


def _weakness(notes: Mapping[str, float]) -> str:
    """Why a test that found nothing says nothing; "" where it does."""
    held, finds = int(notes["copies_held"]), notes.get("copies_finds")
    if held < FEWEST:
        return f"only {held} images are held out to compare with, and {FEWEST} are needed"
    if finds is None:
        return "in these data held-out images resemble local ones as closely as copies would"
    if finds > WEAK:
        return f"altered copies would be found only if they made up {_percent(finds)} of the synthetic images or more"
    return ""


def _counts(notes: Mapping[str, float]) -> str:
    images, closer = int(notes["copies_judged"]), int(notes["copies_closer"])
    return (
        f"{closer:,} of {images:,} ({_percent(closer / images)}) are closer to a local image than the closest 1 % of "
        f"held-out images (p = {notes['copies_closer_p']:.2g}); {_nearest(notes)} "
        f"(sign test, p = {notes['copies_p']:.2g}).{_twins(notes)}"
    )


def _nearest(notes: Mapping[str, float]) -> str:
    """How many of the nearest real images are local, beside what chance gives; a bare share in runs of before."""
    share = notes["nearer_local"]
    if "copies_nearest" not in notes or "copies_local" not in notes:
        return f"{_percent(share)} of the nearest real images are local"
    nearest, local = int(notes["copies_nearest"]), int(notes["copies_local"])
    both = local + int(notes["copies_held"])
    return (
        f"{round(share * nearest):,} of the {nearest:,} nearest real images ({_percent(share)}) are local; chance "
        f"gives {_percent(local / both)} ({local:,} of all {both:,})"
    )


def _twins(notes: Mapping[str, float]) -> str:
    """How many held-out images are local ones, too; "" where none is."""
    twins = int(notes.get("copies_twins", 0))  # not counted by runs of before
    return f" {twins:,} of {int(notes['copies_references']):,} held-out images equal a local one." if twins else ""


def _power(notes: Mapping[str, float]) -> str:
    """What share of copies would have been found; of altered ones only where enough are held out to know."""
    known = (("exact", "copies_finds_exact"), ("shifted, noisy", "copies_finds"))
    said = [
        f"{kind} copies if they make up {_percent(notes[name])} of the synthetic images"
        for kind, name in (known if notes["copies_held"] >= FEWEST else known[:1])
        if name in notes
    ]
    found = [f"With probability 0.8 this test finds {' and '.join(said)}."] if said else []
    return " ".join([*found, UNSOUGHT])


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.1f} %"
