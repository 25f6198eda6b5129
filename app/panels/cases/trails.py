"""The ways of rows through the logits while the student learned."""

from typing import Any

import numpy as np

from app import theme
from app.panels import Panel, View, caption
from app.panels._figure import faint, note, plain
from app.panels.cases import _needs as needs
from kdcore.comparison.case import Case
from kdcore.comparison.checkpoint_history import probed, trail
from kdcore.comparison.logit_trajectories import Trails, trails
from kdcore.comparison.selection import chosen


def _found(case: Case, view: View) -> Trails:
    seen = trail(case)
    assert seen is not None
    meant = probed(case, seen, chosen(case, view.select))
    pinned = tuple(row for row in (view.sample, view.beside) if row is not None)
    return trails(seen, case.rows, case.about.where == "val", meant, pinned)


def draw(case: Case, view: View) -> dict[str, Any]:
    seen, found, look = trail(case), _found(case, view), view.theme
    assert seen is not None
    ground: dict[str, Any] = {"type": "scattergl", "mode": "markers", "uid": "ground"}
    ground |= {
        "name": "all probe rows, last step",
        "x": plain(found.ends[:, 0]),
        "y": plain(found.ends[:, 1]),
        "hoverinfo": "skip",
    }
    traces = [ground | {"marker": {"size": 4, "color": faint(theme.MUTED[look], 0.35)}}]
    labels, colours = seen.labels[found.probe], theme.classes(len(case.classes), look)
    for k in np.unique(labels):
        name, colour = (case.classes[k], colours[k]) if k >= 0 else ("no label", theme.MUTED[look])
        traces.append(_lines(found, np.flatnonzero(labels == k), name, colour))
    if found.goals is not None:
        traces.append(_goals(found, look))
    bare = {"visible": False}
    layout = theme.layout(look, "trails", xaxis=bare, yaxis=bare)
    layout["annotations"] = [note(_said(found), 0.0, -0.02, yanchor="top", font={"size": 13})]
    return {"data": traces, "layout": layout | {"margin": {"l": 8, "r": 8, "t": 8, "b": 52}}}


def _lines(found: Trails, here: np.ndarray, name: str, colour: str) -> dict[str, Any]:
    """Return the ways of one class as one line with gaps; its points grow from step to step."""
    gap = np.full((len(here), 1, 2), np.nan)
    x, y = np.concatenate([found.places[here], gap], axis=1).reshape(-1, 2).T
    steps = len(found.steps)
    size = np.tile([*np.linspace(3, 9, steps), 0], len(here))
    told = [f"row {row} · step {step:,}" if row >= 0 else f"step {step:,}"
            for row in found.rows[here].tolist() for step in [*found.steps.tolist(), 0]]  # fmt: skip
    pins = [row if row >= 0 else None for row in found.rows[here].tolist() for _ in range(steps + 1)]
    style = {"type": "scattergl", "mode": "lines+markers", "uid": f"way {name}", "name": name, "connectgaps": False}
    style |= {"line": {"color": colour, "width": 1.5}, "marker": {"color": colour, "size": plain(size)}}
    points = {"x": plain(x), "y": plain(y), "text": told, "customdata": pins, "meta": {"pick": "sample={customdata}"}}
    return style | points | {"hovertemplate": f"{name} · %{{text}}<extra></extra>"}


def _goals(found: Trails, look: theme.Theme) -> dict[str, Any]:
    assert found.goals is not None
    ring = {"symbol": "circle-open", "size": 11, "color": theme.TEACHER[look], "line": {"width": 2}}
    style = {"type": "scatter", "mode": "markers", "uid": "goals", "name": "the teacher's place", "marker": ring}
    return style | {"x": plain(found.goals[:, 0]), "y": plain(found.goals[:, 1]), "hoverinfo": "skip"}


def _said(found: Trails) -> str:
    if not len(found.probe):
        return "No selected row is among the probe rows of the run; select others."
    hidden = f", {found.hidden} more are not drawn" if found.hidden else ""
    return f"{len(found.probe)} of {len(found.ends)} probe rows{hidden};<br>two principal axes of the logits"


def table(case: Case, view: View) -> dict[str, list[Any]]:
    found = _found(case, view)
    steps = len(found.steps)
    x, y = found.places.reshape(-1, 2).T
    rows = {"row": np.repeat(found.rows, steps), "step": np.tile(found.steps, len(found.rows)), "x": x, "y": y}
    return {name: values.tolist() for name, values in rows.items()}


PANEL = Panel(
    title="Logit trajectories during training",
    kind="plotly",
    caption=caption(trails),
    order=425,
    wide=True,
    lacks=needs.trail,
    draw=draw,
    table=table,
)
