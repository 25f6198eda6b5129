"""What both models say on a map of rows, and between them."""

from typing import Any

from app.panels import BadInput, Panel, View, caption
from app.panels.cases import _needs as needs
from app.panels.cases._regions import Spots, columns, regions, some
from kdcore.comparison.case import Case
from kdcore.comparison.decision_map import BETWEEN, mapped

PART = "map"
NONE_YET = "No map yet; press the button above."


def draw(case: Case, view: View) -> bytes:
    plane = case.part(PART)
    found = mapped(plane)
    shares = [" and ".join(f"{value:.0%}" for value in values) for values in (found.nearest, found.fidelity)]
    who = "teacher's and student's" if len(found.nearest) == 2 else "student's"
    note = (
        f"{{drawn}} of {len(found.rows):,} mapped rows are drawn, of {len(case.rows):,}. The {who} answer is that of "
        f"most of a row's nearest on {shares[0]} of the rows, and that of its own place on {shares[1]}. Each place is "
        f"a mixture of its {BETWEEN} nearest rows. Pixels weigh {float(plane['weight']):.0%} of the distances, what "
        f"the models say on {plane['segments']} segments between two rows the rest; axes have no unit."
    )
    return regions(case, view, plane, Spots(found.rows, found.places, some(case, view, found.rows)), note)


def table(case: Case, _: View) -> dict[str, list[Any]]:
    if not case.part(PART):
        raise BadInput(NONE_YET)
    return columns(case.part(PART))


PANEL = Panel(
    title="Decision map",
    kind="field",
    caption=caption(mapped),
    order=430,
    wide=True,
    lacks=needs.part(PART, NONE_YET),
    draw=draw,
    table=table,
)
