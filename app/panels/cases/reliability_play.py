"""The reliability diagram as it changed while the student learned, to play or to drag."""

from typing import Any

from app import theme
from app.panels import Panel, View, caption
from app.panels._figure import diagonal, number, plain
from app.panels.cases import _claims
from app.panels.cases import _needs as needs
from app.theme import Theme
from kdcore.comparison.calibration_path import Play, play
from kdcore.comparison.case import Case
from kdcore.comparison.checkpoint_history import probed, trail
from kdcore.comparison.selection import chosen
from kdcore.probes._bins import Bins

FRAME_MS = 200


def draw(case: Case, view: View) -> dict[str, Any]:
    found, look = _found(case, view), view.theme
    fullest = max(1, *(int(bins.count.max()) for bins in found.student))
    frames = [{"name": str(step), "data": [_curve("student", bins, fullest, look)], "traces": [1]}
              for step, bins in zip(found.steps.tolist(), found.student, strict=True)]  # fmt: skip
    traces = [diagonal(look), *frames[-1]["data"]]
    traces += [_curve("teacher", found.teacher, fullest, look)] if found.teacher else []
    layout = theme.layout(
        look,
        "reliability play",
        xaxis={
            "title": {"text": f"confidence · {found.rows} probe rows (validation)"},
            "range": [0, 1.02],
            "tickformat": ".0%",
        },
        yaxis={"title": {"text": "accuracy"}, "range": [0, 1.05], "tickformat": ".0%"},
        sliders=[_slider(found)],
        updatemenus=[_play()],
    )
    return {"data": traces, "layout": layout, "frames": frames}


def _curve(name: str, bins: Bins, fullest: int, look: Theme) -> dict[str, Any]:
    colour = _claims.COLOURS[name][look]
    heavy = {"size": plain(bins.count), "sizemode": "area", "sizeref": fullest / 400, "sizemin": 2, "color": colour}
    curve = {"type": "scatter", "mode": "lines+markers", "line": {"color": colour, "width": 1.5}, "marker": heavy}
    place = {"x": plain(bins.confidence), "y": plain(bins.accuracy), "connectgaps": True, "cliponaxis": False}
    hover = f"confidence %{{x:.1%}}<br>accuracy %{{y:.1%}}<extra>{name}</extra>"
    return curve | place | {"uid": name, "name": f"{name} · ECE {number(bins.ece, '.1%')}", "hovertemplate": hover}


def _slider(found: Play) -> dict[str, Any]:
    at_once = {"mode": "immediate", "frame": {"duration": 0, "redraw": True}, "transition": {"duration": 0}}
    steps = [
        {"label": f"{step:,}", "method": "animate", "args": [[str(step)], at_once]} for step in found.steps.tolist()
    ]
    said = {"prefix": "step ", "xanchor": "right"}
    return {"active": len(steps) - 1, "steps": steps, "currentvalue": said, "x": 0.12, "len": 0.88, "pad": {"t": 56}}


def _play() -> dict[str, Any]:
    onward = {"fromcurrent": False, "frame": {"duration": FRAME_MS, "redraw": True}, "transition": {"duration": 0}}
    button = {"label": "▶", "method": "animate", "args": [None, onward], "execute": False}  # plot.js animates
    where = {"x": 0, "y": 0, "xanchor": "left", "yanchor": "top", "pad": {"t": 60}}
    return {"type": "buttons", "showactive": False, "buttons": [button]} | where


def _found(case: Case, view: View) -> Play:
    seen = trail(case)
    assert seen is not None
    return play(seen, probed(case, seen, chosen(case, view.select)))


def table(case: Case, view: View) -> dict[str, list[Any]]:
    found = _found(case, view)
    columns: dict[str, list[Any]] = {"step": [], "from": [], "rows": [], "confidence": [], "accuracy": []}
    for step, bins in zip(found.steps.tolist(), found.student, strict=True):
        told = [[step] * len(bins.count), plain(bins.edges[:-1]), bins.count.tolist()]
        for held, more in zip(columns.values(), [*told, plain(bins.confidence), plain(bins.accuracy)], strict=True):
            held += more
    return columns


PANEL = Panel(
    title="Reliability during training",
    kind="plotly",
    caption=caption(play),
    order=270,
    wide=False,
    lacks=needs.trail,
    draw=draw,
    table=table,
)
