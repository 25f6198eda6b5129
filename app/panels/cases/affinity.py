"""Which classes are kin to teacher and student, over the selected rows."""

from typing import Any

from app.panels import Panel, View, caption, softening
from app.panels.affinity import columns_of, figure
from app.panels.cases import _needs as needs
from kdcore.comparison.affinity import affinity
from kdcore.comparison.case import Case
from kdcore.comparison.selection import chosen
from kdcore.probes.affinity import Affinity


def _found(case: Case, view: View) -> Affinity:
    return affinity(case.rows, case.classes, softening(view), chosen(case, view.select))


def draw(case: Case, view: View) -> dict[str, Any]:
    return figure(_found(case, view), view.theme, meta={"pick": "true={row};student={column}"})


def table(case: Case, view: View) -> dict[str, list[Any]]:
    return columns_of(_found(case, view))


PANEL = Panel(
    title="Class similarity (dark knowledge)",
    kind="plotly",
    caption=caption(affinity),
    order=720,
    wide=True,
    lacks=needs.answered,
    draw=draw,
    table=table,
    softened=True,
)
