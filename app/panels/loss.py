"""Loss terms over the steps."""

from typing import Any

from app import theme
from app.panels import Panel, View, caption
from app.panels import _lacks as lacks
from app.panels._figure import beginning, below_start, faint, lead_colours, line, note, start_note, term_colours
from kdcore.probes.loss import ChangeMark, Losses, LossTerm, loss
from kdcore.runs.record import Record


def draw(record: Record, view: View) -> dict[str, Any]:
    found, look = loss(record), view.theme
    scale = "log" if found.logarithmic else "linear"
    decades = {"dtick": 1} if found.logarithmic else {}
    whole = {"title": {"text": "loss"}, "type": scale, "domain": [0.46 if found.source else 0.0, 1.0]}
    layout = theme.layout(
        look,
        f"loss {scale}{' and source' if found.source else ''}",
        xaxis={"title": {"text": "step"}, "anchor": "y2" if found.source else "y"},
        yaxis=below_start(whole | decades, found.highest),
        **({"yaxis2": {"title": {"text": "source"}, "domain": [0.0, 0.36]}} if found.source else {}),
        hovermode="x unified",
        shapes=[_mark(change, look) for change in found.changes] + beginning(record, look),
        annotations=[_label(change, look) for change in found.changes] + _broken(found, look) + _start(found),
    )
    return {"data": _lines(found, look) + _source(found, look), "layout": layout}


def _lines(found: Losses, look: theme.Theme) -> list[dict[str, Any]]:
    """Return the student's loss and its terms, and dashed what its source minimises before."""
    own, leading = ([term for term in found.terms if term.leading is lead] for lead in (False, True))
    total = [line("total", found.step, found.total, theme.INK[look])] if len(own) > 1 else []
    colours = term_colours([term.reads_labels for term in own], look) + lead_colours(len(leading), look)
    parts = [_term(found, term, colour) for term, colour in zip(own + leading, colours, strict=True)]
    return total + [drawn for part in parts for drawn in part]


def _term(found: Losses, term: LossTerm, colour: str) -> list[dict[str, Any]]:
    dashed = {"line": {"dash": "dash", "width": 1.5}} if term.leading else {}
    lines = [line(term.name, found.step, term.weighted, colour, legendgroup=term.name, **dashed)]
    if term.rescaled:
        dotted = {"dash": "dot", "width": 1.5}
        lines.append(line(f"{term.name}, unweighted", found.step, term.raw, colour, line=dotted))
    return lines


def _source(found: Losses, look: theme.Theme) -> list[dict[str, Any]]:
    """Return what the source minimises beside the student, joined over the steps at which it rests, on an axis of
    its own.
    """
    parts = len(found.source) - 1
    colours = [theme.INK[look], *lead_colours(parts, look)] if parts > 0 else lead_colours(1, look)
    style = {"yaxis": "y2", "line": {"dash": "dash", "width": 1.5}}
    return [
        line(name.replace("_", " "), found.step[found.told], values[found.told], colour, uid=f"source {name}", **style)
        for (name, values), colour in zip(found.source.items(), colours, strict=False)
    ]


def _start(found: Losses) -> list[dict[str, Any]]:
    return start_note(found.highest, found.total, found.step)


def _mark(change: ChangeMark, look: theme.Theme) -> dict[str, Any]:
    """Return a vertical line where a person changed a setting."""
    place = {"type": "line", "xref": "x", "yref": "paper", "x0": change.step, "x1": change.step, "y0": 0, "y1": 1}
    return place | {"line": {"color": theme.MUTED[look], "width": 1.5, "dash": "dash"}}


def _label(change: ChangeMark, look: theme.Theme) -> dict[str, Any]:
    ground = {"bgcolor": faint(theme.PAPER[look], 0.8), "font": {"color": theme.MUTED[look], "size": 12}}
    hover = {"hovertext": "<br>".join(f"step {step:,}: {text}" for step, text in change.all)}
    return note(
        change.text, change.step, 1.0, xref="x", xanchor="right", yanchor="top", textangle=-90, **ground, **hover
    )


def _broken(found: Losses, look: theme.Theme) -> list[dict[str, Any]]:
    """Return what to do about a loss that is not a number."""
    if found.broken_at is None:
        return []
    text = f"<b>From step {found.broken_at} on the loss is not a number;<br>try a smaller learning rate.</b>"
    return [note(text, 0.5, 0.5, xanchor="center", font={"color": theme.DISAGREE[look]})]


def table(record: Record, _: View) -> dict[str, list[Any]]:
    found = loss(record, limit=len(record.steps))
    columns = {"step": found.step.tolist(), "loss": found.total.tolist()}
    for term in found.terms:
        columns |= {f"{term.name}_weighted": term.weighted.tolist(), f"{term.name}_raw": term.raw.tolist()}
    return columns | {f"source_{name}": values.tolist() for name, values in found.source.items()}


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
