"""Loss terms over the steps."""

from typing import Any

from app import theme
from app.panels import Panel, View, caption
from app.panels import _lacks as lacks
from app.panels._figure import line, note, term_colours
from kdcore.probes.loss import Change, Losses, loss
from kdcore.record import Record


def draw(record: Record, view: View) -> dict[str, Any]:
    found, look = loss(record), view.theme
    lines = []
    if len(found.terms) > 1:
        lines.append(line("total", found.step, found.total, theme.INK[look]))
    for term, colour in zip(found.terms, term_colours([t.reads_labels for t in found.terms], look), strict=True):
        lines.append(line(term.name, found.step, term.weighted, colour, legendgroup=term.name))
        if term.rescaled:
            dotted = {"dash": "dot", "width": 1.5}
            lines.append(line(f"{term.name}, unweighted", found.step, term.raw, colour, line=dotted))
    scale = "log" if found.logarithmic else "linear"
    decades = {"dtick": 1} if found.logarithmic else {}
    layout = theme.layout(
        look,
        f"loss {scale}",
        xaxis={"title": {"text": "step"}},
        yaxis={"title": {"text": "loss"}, "type": scale} | decades,
        hovermode="x unified",
        shapes=[_mark(change, look) for change in found.changes],
        annotations=[_label(change) for change in found.changes] + _broken(found, look),
    )
    return {"data": lines, "layout": layout}


def _mark(change: Change, look: theme.Theme) -> dict[str, Any]:
    """A vertical line where a person changed a setting."""
    place = {"type": "line", "xref": "x", "yref": "paper", "x0": change.step, "x1": change.step, "y0": 0, "y1": 1}
    return place | {"line": {"color": theme.MUTED[look], "width": 1.5, "dash": "dash"}}


def _label(change: Change) -> dict[str, Any]:
    return note(change.text, change.step, 1.0, xref="x", xanchor="right", yanchor="top", textangle=-90)


def _broken(found: Losses, look: theme.Theme) -> list[dict[str, Any]]:
    """What to do about a loss that is not a number."""
    if found.broken_at is None:
        return []
    text = f"<b>From step {found.broken_at} on the loss is not a number;<br>try a smaller learning rate.</b>"
    return [note(text, 0.5, 0.5, xanchor="center", align="center", font={"color": theme.DISAGREE[look]})]


def table(record: Record, _: View) -> dict[str, list[Any]]:
    found = loss(record, limit=len(record.steps))
    columns = {"step": found.step.tolist(), "loss": found.total.tolist()}
    for term in found.terms:
        columns |= {f"{term.name}_weighted": term.weighted.tolist(), f"{term.name}_raw": term.raw.tolist()}
    return columns


PANEL = Panel(
    title="Loss",
    kind="plotly",
    caption=caption(loss),
    order=10,
    wide=False,
    lacks=lacks.steps,
    draw=draw,
    table=table,
)
