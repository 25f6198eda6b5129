"""What a run may send its teacher at most, to learn from and for measuring. No torch is imported here.

Learning comes first: measuring takes only what learning leaves of the budget. Where learning does not say what it asks
about, that is nothing before its end.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Any, Literal

from kdcore.events import Meter
from kdcore.spec.catalogue import entry
from kdcore.spec.presets import OWN
from kdcore.spec.schedule import Json
from kdcore.spec.spec import Measure, Spec

ANEW = frozenset({"mixing", "second_view"})  # asks that show the teacher further images in each step
Refusal = Literal["permission", "limit", "budget"]
PROBE_ROWS = 512  # of a split that stand for all of it, where a remote teacher is measured


def learning(asked: Spec, local: int | None = None) -> int | None:
    """Different images that learning asks about at most; None where nobody can say before it has.

    Args:
        asked: a run with a wall.
        local: how many images the edge owns, where that is known; those that `on_top` speaks of are left out else.
    """
    source, method = entry("source", asked.source.name), entry("method", asked.method.name)
    if not source["makes"]:
        again = ANEW & set(method["asks"]) or asked.source.knobs.get("augment", "none") != "none"
        return None if again else local
    itself = _itself(asked, source)
    if itself is None or "mixing" in method["asks"]:
        return None
    aligned = min(local or 0, _drawn(asked)) if on_top(asked) else 0
    return itself + _shown(asked, source) + aligned


def on_top(asked: Spec) -> bool:
    """Whether a generator asks about the edge's own images, each once, besides those that it makes."""
    return asked.source.name == OWN and asked.source.knobs["align"] == "local"


def sends_local(asked: Spec) -> bool:
    """Whether a run sends a remote teacher the edge's own images, or mixes of them, to learn from."""
    return asked.remote and (bool(entry("source", asked.source.name)["local"]) or on_top(asked))


def most_local(asked: Spec) -> int:
    """How many local images, or mixes of them, a run with a wall sends its remote teacher to learn from at most."""
    if not sends_local(asked):
        return 0
    shown = _drawn(asked) if on_top(asked) else asked.schedule.steps * asked.schedule.batch
    budget = asked.wall.budget if asked.wall else 0
    return min(shown, budget) if budget else shown


def led(asked: Spec) -> int:
    """How many made images the lead of a run of MEKD asks about, before the student's first step."""
    knobs, tells = asked.source.knobs, asked.access != "labels"
    weighs = knobs["information"] == "released" or (tells and knobs["information"] == "paper")
    asks = knobs["align"] == "self" or weighs or (tells and knobs["map"] == "standard")
    local = knobs["align"] == "local"  # each local image once, which is not known before the data are read
    return _drawn(asked) if asks and not (local and not weighs) else 0


def measuring(asked: Spec, local: int | None = None) -> int:
    """Images that may be sent for measuring alone while a run learns, at most."""
    wall = asked.wall
    if wall is None or not asked.remote or wall.measure == "nothing":
        return 0
    return wall.room(learning(asked, local))


def closing(asked: Spec, tested: int, local: int | None = None) -> int:
    """Images that measuring keeps for the final test on `tested` rows; 0 where it may not send them, or has no room."""
    rows = min(tested, PROBE_ROWS)
    allowed = asked.remote and asked.wall is not None and asked.wall.allows("real")
    return rows if allowed and rows <= measuring(asked, local) else 0


def most(asked: Spec) -> int | None:
    """Images that a run pays for at most, apart from those that come on top; None where nothing limits them."""
    wall, wanted = asked.wall, learning(asked)
    budget = wall.budget if wall else 0
    if wanted is None:
        return budget or None
    return min(wanted + measuring(asked), budget) if budget else wanted + measuring(asked)


def cramped(asked: Spec) -> str:
    """One sentence where the budget leaves less for measuring than may be sent for it; "" elsewhere."""
    wall = asked.wall
    if wall is None or not asked.remote or wall.measure == "nothing" or not wall.budget:
        return ""
    wanted, left = learning(asked), measuring(asked)
    if wanted is None:
        return f"Learning comes first: measuring gets only what it leaves of the budget of {wall.budget:,} images."
    if not left:
        return (
            f"The budget of {wall.budget:,} images leaves nothing for measuring: learning asks about up to {wanted:,}. "
            "Raise the budget, or have fewer images learned from."
        )
    if left == wall.looks:
        return ""
    return (
        f"The budget of {wall.budget:,} images leaves at most {left:,} for measuring: learning asks about up to "
        f"{wanted:,}, and measuring could take {wall.looks:,}. What does not fit is not measured."
    )


def refusal(
    asked: Spec, meter: Meter, local: int, level: Measure, need: int | None = None, last: bool = False, closing: int = 0
) -> Refusal | None:
    """Why an image was not sent for measuring alone; None where that was possible.

    Args:
        asked: a run with a service.
        meter: what it had sent by then.
        local: how many images the edge owns.
        level: what must be allowed for it.
        need: images that it takes; None where it is known to have been refused.
        last: whether it is about the end, when learning leaves all that it did not use.
        closing: images that are kept for the end until then, where they fit.
    """
    assert asked.wall
    wall = asked.wall
    if asked.remote and not wall.allows(level):
        return "permission"
    room = measuring(asked, local) if asked.remote else wall.looks
    looked = meter.looked + (closing if closing <= room else 0)
    limit = wall.looks - looked
    if not asked.remote or not wall.budget:
        budget = limit
    else:
        kept = wall.budget - meter.images if last else measuring(asked, local)
        budget = min(kept - looked, wall.budget - meter.images - looked)
    if need is not None and min(limit, budget) >= need:
        return None
    return "limit" if limit <= budget else "budget"


def _drawn(asked: Spec) -> int:
    """Images of one kind that the lead of a run of MEKD draws."""
    return _number(asked.source.knobs, "steps") * _number(asked.source.knobs, "real")


def _shown(asked: Spec, source: Mapping[str, Any]) -> int:
    """Images that the student is shown at most, each counted once."""
    shown = asked.schedule.steps * asked.schedule.batch
    whole = asked.source.name == OWN or "pool" in source["leading"]  # made before the student's first step
    pool = _number(asked.source.knobs, "pool") if whole else 0
    return min(pool, shown) if pool else shown


def _itself(asked: Spec, source: Mapping[str, Any]) -> int | None:
    """Images that a source asks about besides those that the student is shown; None where that is not known."""
    knobs, schedule = asked.source.knobs, asked.schedule
    if asked.source.name == OWN:
        return led(asked)
    if asked.source.name == "dfme":
        turns = ceil(schedule.steps / _number(knobs, "student_steps")) * _number(knobs, "generator_steps")
        return turns * schedule.batch * (_number(knobs, "directions") + 1)
    if asked.source.name == "zo_inversion":
        made = _number(knobs, "made")
        rounds = ceil(_number(knobs, "pool") / made)
        return rounds * made * _number(knobs, "updates") * (_number(knobs, "directions") + 1)
    return None if source["queries"] else 0


def _number(knobs: Mapping[str, Json], name: str) -> int:
    return int(str(knobs[name]))
