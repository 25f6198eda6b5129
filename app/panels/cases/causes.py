"""Why the two disagree: a cause for each row."""

from typing import Any

from app import theme
from app.panels import Panel, View, caption
from app.panels.cases import _needs as needs
from kdcore.comparison.case import Case
from kdcore.comparison.causes import CAUSES, Causes, causes
from kdcore.comparison.selection import chosen, value

DIM = 0.35  # opacity of what is not selected
SHOWN = 4  # classes named under the pointer


def draw(case: Case, view: View) -> dict[str, Any]:
    look, found = view.theme, causes(case)
    names, meant = list(CAUSES)[::-1], value(view.select, "cause")
    counts = [int(found.counts[list(CAUSES).index(name)]) for name in names]
    colours = [theme.MUTED[look] if name == "unclear" else theme.DISAGREE[look] for name in names]
    bars = {
        "type": "bar", "uid": "causes", "orientation": "h", "x": counts, "y": [CAUSES[name] for name in names],
        "customdata": names, "meta": {"pick": "cause={customdata}"}, "text": [f"{count:,}" for count in counts],
        "textposition": "outside", "cliponaxis": False,
        "marker": {"color": colours, "opacity": [DIM if meant not in (None, name) else 1.0 for name in names]},
        "hovertext": [_classes(case, found, name) for name in names], "hovertemplate": "%{hovertext}<extra></extra>",
    }  # fmt: skip
    alike = int(((found.code >= 0) & (case.rows.student_top == case.rows.teacher_top)).sum())
    also = f", {alike:,} of them with the same answer" if alike else ""
    rows = f"rows, {found.disagreements:,} disagreements of {len(case.rows):,}{also}"
    axes = {"xaxis": {"title": {"text": rows}, "rangemode": "tozero"}, "yaxis": {"type": "category", "dtick": 1}}
    return {"data": [bars], "layout": theme.layout(look, "causes", bargap=0.3, showlegend=False, **axes)}


def _classes(case: Case, found: Causes, name: str) -> str:
    """Of one cause, the teacher's answers with most of its rows."""
    counts = found.by_class[:, [str(cause) for cause in CAUSES].index(name)]
    most = [k for k in (-counts).argsort(kind="stable")[:SHOWN] if counts[k]]
    return "teacher says " + ", ".join(f"{case.classes[k]}: {counts[k]:,}" for k in most) if most else "no row"


def table(case: Case, view: View) -> dict[str, list[Any]]:
    meant = chosen(case, view.select)
    code = causes(case).code
    rows = (code >= 0).nonzero()[0] if meant is None else ((code >= 0) & meant).nonzero()[0]
    return {"row": rows.tolist(), "cause": [list(CAUSES)[k] for k in code[rows]]}


PANEL = Panel(
    title="Why they disagree",
    kind="plotly",
    caption=caption(causes),
    order=30,
    wide=False,
    lacks=needs.first(
        needs.teacher, lambda case: None if causes(case).disagreements else "The two models agree on every sample."
    ),
    draw=draw,
    table=table,
)
