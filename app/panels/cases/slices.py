"""Slices on which the student is farther from its teacher, beyond chance."""

from typing import Any

import numpy as np

from app import theme
from app.panels import Panel, View, caption
from app.panels._figure import note, number, plain
from app.panels.cases import _needs as needs
from kdcore.comparison.case import Case
from kdcore.comparison.selection import told
from kdcore.comparison.slices import FLOOR, LEAST, RATE, TIMES, Slice, slices

MOST = 6  # bars with room for their words; the table has all


def draw(case: Case, view: View) -> dict[str, Any]:
    look, found = view.theme, slices(case)
    shown = found.slices[:MOST][::-1]
    axis = f"mean KL(teacher ‖ student), nats · {len(shown)} of {len(found.slices)} slices"
    names = [said(case, one.select) for one in shown]
    colours = [theme.DISAGREE[look] if one.select == view.select else theme.STUDENT[look] for one in shown]
    bars = {
        "type": "bar", "uid": "slices", "orientation": "h", "showlegend": False,
        "x": plain([one.kl for one in shown]), "y": list(range(len(shown))),
        "error_x": {
            "type": "data", "symmetric": False, "color": theme.INK[look],
            "array": plain([one.high - one.kl for one in shown]),
            "arrayminus": plain([one.kl - one.low for one in shown]),
        },
        "customdata": [one.select for one in shown], "meta": {"pick": "{customdata}"},
        "marker": {"color": colours}, "hovertext": [_figures(one) for one in shown], "hoverinfo": "text",
    }  # fmt: skip
    texts = [note(f"<b>{name}</b> {_short(one)}", 0, k + 0.38, yref="y", font={"size": 13})
             for k, (name, one) in enumerate(zip(names, shown, strict=True))]  # fmt: skip
    mean = {"type": "line", "x0": found.overall, "x1": found.overall, "y0": 0, "y1": 1, "yref": "paper",
            "line": {"color": theme.MUTED[look], "dash": "dot"}}  # fmt: skip
    texts.append(note("all rows", found.overall, 1.0, xref="x", font={"color": theme.MUTED[look]}))
    layout = theme.layout(
        look, "slices", bargap=0.55, shapes=[mean], annotations=texts, margin={"l": 12, "r": 12, "t": 24, "b": 44},
        xaxis={"title": {"text": axis}, "rangemode": "tozero"},
        yaxis={"visible": False, "range": [-0.6, max(len(shown), 1) - 0.1]},
    )  # fmt: skip
    return {"data": [bars], "layout": layout}


def said(case: Case, select: str) -> str:
    """Return a slice in words."""
    return ", ".join(_worded(key, words) for key, words in told(case, select))


def _worded(key: str, words: str) -> str:
    return f"label {words}" if key == "true" else words


def _short(one: Slice) -> str:
    times = one.kl / one.outside if one.outside else float("inf")
    return f"{one.rows:,} rows · {number(times, '.1f')} times the others · q = {one.q:.1g}"


def _figures(one: Slice) -> str:
    return (
        f"KL {one.kl:.3g}, 95 % interval {one.low:.3g} to {one.high:.3g}, elsewhere {one.outside:.3g}<br>larger than a "
        f"row elsewhere in {one.larger:.0%} of pairs<br>p = {one.p:.1g}, q = {one.q:.1g}<br>on {one.tested:,} rows not "
        "looked at before; as only slices beyond chance on them are told, KL is rather too high"
    )


def table(case: Case, _: View) -> dict[str, list[Any]]:
    fields = ("select", "rows", "tested", "kl", "low", "high", "outside", "larger", "p", "q")
    return {name: np.array([getattr(one, name) for one in slices(case).slices]).tolist() for name in fields}


def _found(case: Case) -> str | None:
    found = slices(case)
    if found.slices:
        return None
    if not found.looked:
        return f"Too few samples to search for slices: one needs {LEAST} rows in each half, and as many beside it."
    return (
        f"Nothing found: of {found.looked:,} slices {found.tested} looked worse on one half of the rows, and none "
        f"of them is worse on the other half beyond chance ({RATE:.0%} false discoveries) and by as much as "
        f"{FLOOR:g} nats and {TIMES:g} times the other rows."
    )


PANEL = Panel(
    title="Slices where the student is far from its teacher",
    kind="plotly",
    caption=caption(slices),
    order=40,
    wide=False,
    lacks=needs.first(needs.teacher, _found),
    draw=draw,
    table=table,
)
