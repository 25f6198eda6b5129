"""How the student's confusions came and went while it learned."""

from typing import Any

import numpy as np

from app import theme
from app.panels import Panel, View, caption
from app.panels._cells import bare, cells, named_axis
from app.panels._figure import brief
from app.panels.cases import _needs as needs
from app.panels.cases._words import aside
from kdcore.comparison.case import Case
from kdcore.comparison.checkpoint_history import trail
from kdcore.comparison.confusions import ConfusionCourse, course, on_probe
from kdcore.comparison.selection import chosen

SPLIT = ([0.0, 0.9], [0.93, 1.0])  # the student's course, and the teacher's constant beside it


def _found(case: Case, view: View) -> ConfusionCourse:
    frames = trail(case)
    assert frames is not None
    return course(frames, on_probe(case.rows, frames, chosen(case, view.select)))


def draw(case: Case, view: View) -> dict[str, Any]:
    found, look = _found(case, view), view.theme
    names = [
        f"{brief(case.classes[a])} → {brief(case.classes[b])}" for a, b in zip(found.true, found.answer, strict=True)
    ]
    steps = [f"{step:,}" for step in found.steps.tolist()]
    after = found.student[:, 1:] if len(found.steps) > 1 else found.student  # the first weights confuse everything
    bounds = (0.0, float(max(after.max(initial=0.01), 0.01)))
    ids = [f"{a};student={b}" for a, b in zip(found.true.tolist(), found.answer.tolist(), strict=True)]
    picked = {"y": names, "meta": {"pick": "true={customdata}"}, "ygap": 2}
    ours = cells("course", found.student, theme.rising(theme.STUDENT, look), bounds) | picked
    ours |= {"x": steps, "customdata": [[one] * len(steps) for one in ids]}
    ours |= {"hovertemplate": "%{y} at step %{x}: %{z:.1%} of the class<extra>student</extra>"}
    data = [ours]
    if found.teacher is not None:
        theirs = cells("taught", found.teacher[:, None], theme.rising(theme.TEACHER, look), bounds, 2) | picked
        theirs |= {"x": ["T"], "customdata": [[one] for one in ids], "yaxis": "y"}
        data.append(theirs | {"hovertemplate": "%{y}: %{z:.1%} of the class<extra>teacher</extra>"})
    down = bare(look) | named_axis(names, most=max(1, len(names))) | {"range": [len(names) - 0.5, -0.5], "ticks": ""}
    across = bare(look) | named_axis(steps, most=9) | {"title": {"text": "step"}, "domain": SPLIT[0]}
    beside = bare(look) | {"domain": SPLIT[1], "anchor": "y", "type": "category"}
    more = f" · {found.others} more pairs" if found.others else ""
    said = aside(f"{found.probe} probe rows{more}", f"full colour from {bounds[1]:.0%} of a class")
    layout = theme.layout(look, "course", showlegend=False, xaxis=across, xaxis2=beside, yaxis=down)
    layout |= {"annotations": [said], "shapes": _now(found, view)}
    layout["margin"] |= {"t": 40}
    return {"data": data, "layout": layout}


def _now(found: ConfusionCourse, view: View) -> list[dict[str, Any]]:
    """Return a frame around the step that is looked at."""
    if view.at is None:
        return []
    place = max(0, int(np.searchsorted(found.steps, view.at, side="right")) - 1)
    box = {"type": "rect", "xref": "x", "yref": "paper", "x0": place - 0.5, "x1": place + 0.5, "y0": 0, "y1": 1}
    return [box | {"line": {"color": theme.INK[view.theme], "width": 1.5}}]


def table(case: Case, view: View) -> dict[str, list[Any]]:
    found = _found(case, view)
    told: dict[str, list[Any]] = {"true_class": [case.classes[k] for k in found.true]}
    told |= {"answer": [case.classes[k] for k in found.answer], "rows": found.rows.tolist()}
    told |= {} if found.teacher is None else {"teacher": found.teacher.tolist()}
    return told | {f"step_{step}": found.student[:, place].tolist() for place, step in enumerate(found.steps.tolist())}


def _followed(case: Case) -> str | None:
    found = trail(case)
    if found is None:
        return "The student is not a run on this machine, so its training is unknown."
    return None if (found.labels >= 0).any() else "No probe sample has a label, so there are no known mistakes."


PANEL = Panel(
    title="Confusion over time",
    kind="plotly",
    caption=caption(course),
    order=710,
    wide=True,
    lacks=needs.first(_followed),
    draw=draw,
    table=table,
)
