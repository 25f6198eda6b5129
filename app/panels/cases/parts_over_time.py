"""The five parts while the student learned."""

from typing import Any

from app import theme
from app.panels import Panel, View, caption
from app.panels._figure import faint, line, plain
from app.panels.cases import _needs as needs
from app.panels.cases.partition import COLOURS
from kdcore.comparison.agreement import PartsOverTime, parts_over_time
from kdcore.comparison.case import PARTS, Case
from kdcore.comparison.checkpoint_history import trail


def draw(case: Case, view: View) -> dict[str, Any]:
    found, look = _found(case), view.theme
    traces: list[dict[str, Any]] = []
    for place, (part, said) in enumerate(PARTS.items()):
        colour = COLOURS[place][look]
        area = {"stackgroup": "parts", "fillcolor": faint(colour, 0.55), "meta": {"pick": f"part={part}"}}
        hover = {"hovertemplate": f"step %{{x}} · {said}: %{{y:.1%}}<extra></extra>"}
        traces.append(line(said, found.steps, found.shares[:, place], colour, line={"width": 1}) | area | hover)
    same = {"line": {"color": theme.INK[look], "width": 2, "dash": "dot"}}
    traces.append(line("same answer", found.steps, found.agreement, theme.INK[look]) | same)
    layout = theme.layout(
        look,
        "parts over time",
        xaxis={"title": {"text": "optimiser step"}},
        yaxis={
            "range": [0, 1],
            "tickformat": ".0%",
            "title": {"text": f"share of {found.rows} probe rows (validation)"},
        },
    )
    return {"data": traces, "layout": layout}


def _found(case: Case) -> PartsOverTime:
    seen = trail(case)
    assert seen is not None
    return parts_over_time(seen)


def table(case: Case, _: View) -> dict[str, list[Any]]:
    found = _found(case)
    shares = {part: plain(found.shares[:, place]) for place, part in enumerate(PARTS)}
    return {"step": found.steps.tolist()} | shares | {"agreement": plain(found.agreement)}


def _trailed(case: Case) -> str | None:
    seen = trail(case)
    kept = seen is not None and seen.teacher is not None
    return None if kept else needs.untrailed(case, "no frames beside a teacher")


PANEL = Panel(
    title="Agreement during training",
    kind="plotly",
    caption=caption(parts_over_time),
    order=30,
    wide=False,
    lacks=_trailed,
    draw=draw,
    table=table,
)
