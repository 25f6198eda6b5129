"""How alike the stages of student and teacher are."""

from typing import Any

from app import theme
from app.panels import Panel, View, caption
from app.panels import _lacks as lacks
from app.panels import _suits as suits
from app.panels._cells import bare, cells
from app.panels._figure import note
from kdcore.probes.cka import cka
from kdcore.runs.record import Record

NUMBERED = 8  # stages up to which the cells hold numbers


def draw(record: Record, view: View) -> dict[str, Any]:
    found, look = cka(record), view.theme
    ours, theirs = found.values.shape
    shown = cells("cka", found.values, theme.rising(theme.GOOD, look), (0.0, 1.0))
    shown |= {"hovertemplate": "student's stage %{y}, teacher's %{x}: %{z:.3f}<extra></extra>", "x0": 1, "y0": 1}
    if max(ours, theirs) <= NUMBERED:
        shown |= {"texttemplate": "%{z:.2f}", "xgap": 2, "ygap": 2}
    whole = bare(look) | {"dtick": 1}
    layout = theme.layout(
        look,
        "cka",
        showlegend=False,
        xaxis=whole | {"title": {"text": "teacher's stage", "font": {"color": theme.TEACHER[look]}}},
        yaxis=whole | {"title": {"text": "student's stage", "font": {"color": theme.STUDENT[look]}}},
        annotations=[note(f"linear CKA on {found.rows} samples", 0.0, 1.0)],
    )
    layout["margin"] |= {"t": 28}
    return {"data": [shown], "layout": layout}


def table(record: Record, _: View) -> dict[str, list[Any]]:
    ours, theirs = (found := cka(record)).values.shape
    return {
        "student_stage": [1 + stage for stage in range(ours) for _ in range(theirs)],
        "teacher_stage": [1 + stage for _ in range(ours) for stage in range(theirs)],
        "cka": found.values.ravel().tolist(),
    }


PANEL = Panel(
    title="Layer similarity (CKA)",
    kind="plotly",
    caption=caption(cka),
    order=86,
    wide=False,
    lacks=lacks.recorded("cka"),
    draw=draw,
    table=table,
    extra=True,
    suits=suits.records("cka"),
)
