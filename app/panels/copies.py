"""Whether synthetic images copy local ones."""

from typing import Any

from app import theme
from app.panels import Panel, View, caption
from app.panels import _lacks as lacks
from app.panels import _suits as suits
from app.panels._figure import faint, note, number, plain
from kdcore.probes.copies import Copies, copies
from kdcore.runs.record import Record


def draw(record: Record, view: View) -> dict[str, Any]:
    found, look = copies(record), view.theme
    layout = theme.layout(
        look,
        "copies",
        barmode="overlay",
        bargap=0.02,
        xaxis={"title": {"text": "distance to the nearest"}, "rangemode": "tozero"},
        yaxis={"title": {"text": "synthetic images"}, "domain": [0.0, 0.66]},
        annotations=[note(_text(found), 0.0, 0.69, font={"color": _warning(found, look)})],
    )
    layout["legend"] |= {"y": 1.04}
    return {"data": [_bars(found, name, look) for name in ("local", "held")], "layout": layout}


def _warning(found: Copies, look: theme.Theme) -> str:
    return (theme.DISAGREE if found.judged.outcome in ("copies", "closer") else theme.INK)[look]


def _bars(found: Copies, name: str, look: theme.Theme) -> dict[str, Any]:
    colour = {"local": theme.DISAGREE, "held": theme.MUTED}[name][look]
    median = {"local": found.local_median, "held": found.held_median}[name]
    title = {"local": "local images", "held": "held-out images"}[name]
    fill = {"color": faint(colour, 0.45), "line": {"color": colour, "width": 1.5}}
    hover = f"%{{y}} synthetic images at %{{x:.3f}}<extra>{title}</extra>"
    return {
        "type": "bar",
        "uid": name,
        "name": f"{title}, median {number(median, '.3f')}",
        "x": plain(found.centre),
        "y": plain(getattr(found, name)),
        "marker": fill,
        "hovertemplate": hover,
    }


def _text(found: Copies) -> str:
    """Return the verdict, what it rests on and what it would have found."""
    judged = found.judged
    return "<br>".join(filter(None, (f"<b>{judged.verdict}</b>", judged.counts, judged.power)))


def table(record: Record, _: View) -> dict[str, list[Any]]:
    found = copies(record)
    bins = len(found.local)
    return {
        "distance": found.centre.tolist(),
        "nearest_local": found.local.tolist(),
        "nearest_held_out": found.held.tolist(),
        "sign_test_p": [found.p] * bins,
    }


PANEL = Panel(
    title="Copies of local images?",
    kind="plotly",
    caption=caption(copies),
    order=38,
    wide=False,
    lacks=lacks.seen("made_to_local", "made_to_held", "nearest_real"),
    draw=draw,
    table=table,
    suits=suits.making,
)
