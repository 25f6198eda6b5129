"""Reliability of teacher, student and temperature-scaled student."""

from typing import Any

import numpy as np

from app import theme
from app.panels import Panel, View, caption
from app.panels._figure import diagonal, number, plain
from app.panels.cases import _claims
from app.theme import Theme
from kdcore.comparison.calibration import by_width
from kdcore.comparison.case import Case
from kdcore.probes._bins import Bins

PICKED = {"student": "student confidence={customdata}", "teacher": "teacher confidence={customdata}"}


def draw(case: Case, view: View) -> dict[str, Any]:
    found, look, mass = _claims.diagrams(case, view), view.theme, _claims.massed(view)
    traces = [diagonal(look)]
    for place, (name, bins) in enumerate(found.items()):
        picked = {"meta": {"pick": PICKED[name]}} if name in PICKED else {}
        traces.append(_curve(name, bins, look) | picked)
        if not mass:  # where bins hold equally many rows, there is nothing to count
            traces.append(_counts(name, bins, place, len(found), look) | picked)
    layout = theme.layout(
        look,
        "reliability",
        barmode="overlay",
        xaxis={"anchor": "y" if mass else "y2", "title": {"text": "confidence"}, "range": [0, 1], "tickformat": ".0%"},
        yaxis={
            "title": {"text": "accuracy"},
            "domain": [0.0 if mass else 0.3, 1.0],
            "range": [0, 1.02],
            "tickformat": ".0%",
        },
        yaxis2={"title": {"text": "rows"}, "domain": [0.0, 0.18], "nticks": 3},
        shapes=_claims.bands(view, look),
    )
    return {"data": traces, "layout": layout}


def _curve(name: str, bins: Bins, look: Theme) -> dict[str, Any]:
    """Return the bins that are not empty, with intervals."""
    full = np.flatnonzero(bins.count)
    low, high = (side[full] for side in bins.interval)
    colour, held = _claims.COLOURS[name][look], bins.accuracy[full]
    bars = {"type": "data", "symmetric": False, "array": plain(high - held), "arrayminus": plain(held - low)}
    curve: dict[str, Any] = {"type": "scatter", "mode": "lines+markers", "x": plain(bins.confidence[full])}
    curve |= {"y": plain(held), "error_y": bars | {"thickness": 1, "width": 2}}
    curve |= {"line": {"color": colour, "width": 1.5}}
    said = [f"[{a:.1%}, {b:.1%}], {n:,} rows" for a, b, n in zip(low, high, bins.count[full], strict=True)]
    hover = f"confidence %{{x:.1%}}<br>accuracy %{{y:.1%}} %{{text}}<extra>{_claims.NAMES[name]}</extra>"
    title = f"{_claims.NAMES[name]} · ECE {number(bins.ece, '.1%')}"
    told = {"uid": name, "name": title, "legendgroup": name, "text": said, "hovertemplate": hover}
    return curve | told | {"customdata": [_claims.ranges(bins.edges)[at] for at in full.tolist()]}


def _counts(name: str, bins: Bins, place: int, among: int, look: Theme) -> dict[str, Any]:
    """Rows in each bin, beside those of the other models."""
    width = np.diff(bins.edges) * 0.9 / among
    bar: dict[str, Any] = {"type": "bar", "yaxis": "y2", "x": plain(bins.edges[:-1] + width * (place + 0.55))}
    bar |= {"y": bins.count.tolist(), "width": plain(width)}
    bar |= {"marker": {"color": _claims.COLOURS[name][look]}, "legendgroup": name}
    told = {
        "uid": f"{name} count",
        "name": name,
        "showlegend": False,
        "hovertemplate": f"%{{y}} rows<extra>{name}</extra>",
    }
    return bar | told | {"customdata": _claims.ranges(bins.edges)}


def table(case: Case, view: View) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {"model": [], "from": [], "to": [], "rows": [], "confidence": [], "accuracy": [],
                                     "accuracy_low": [], "accuracy_high": []}  # fmt: skip
    for name, bins in _claims.diagrams(case, view).items():
        told = [[name] * len(bins.count), bins.edges[:-1].tolist(), bins.edges[1:].tolist(), bins.count.tolist()]
        told += [plain(values) for values in (bins.confidence, bins.accuracy, *bins.interval)]
        for held, more in zip(columns.values(), told, strict=True):
            held += more
    return columns


PANEL = Panel(
    title="Reliability",
    kind="plotly",
    caption=caption(by_width),
    order=200,
    wide=False,
    lacks=_claims.lacks,
    draw=draw,
    table=table,
)
