"""What student and teacher share, right or wrong."""

from typing import Any

from app import theme
from app.panels import Panel, View, caption
from app.panels import _lacks as lacks
from app.panels import _suits as suits
from app.panels._figure import note, number, plain
from app.text.phrases import percent, repeats
from kdcore.probes.fidelity import fidelity
from kdcore.runs.record import Record

COLOURS = (theme.GOOD, theme.TEACHER, theme.STUDENT, theme.MUTED, theme.DISAGREE)


def draw(record: Record, view: View) -> dict[str, Any]:
    found, look = fidelity(record), view.theme
    parts = zip(found.parts.items(), found.shares.values(), COLOURS, strict=True)
    same = f"agreement <b>{percent(found.agreement)}</b> ({found.agreed:,} of {found.rows:,})"
    again = repeats(found.both_wrong_same, found.teacher_errors, found.expected)
    text = f"{same} · KL(T‖S) <b>{number(found.kl_nats, '.3g')} nats</b><br>{again}"
    layout = theme.layout(
        look,
        "fidelity",
        barmode="stack",
        xaxis={"title": {"text": f"share of {found.rows} probe samples"}, "tickformat": ".0%", "range": [0, 1]},
        yaxis={"visible": False, "domain": [0.0, 0.72]},
        annotations=[note(text, 0.0, 0.76, font={"size": 14})],
    )
    layout["legend"] |= {"traceorder": "normal"}
    return {"data": [_part(*part, share, colour[look]) for part, share, colour in parts], "layout": layout}


def _part(name: str, count: int, share: float, colour: str) -> dict[str, Any]:
    title = f"{name}: {count} ({share:.0%})"
    place = {"x": plain([share]), "y": [""], "marker": {"color": colour}}
    return {
        "type": "bar",
        "orientation": "h",
        "uid": name,
        "name": title,
        "hovertemplate": title + "<extra></extra>",
    } | place


def table(record: Record, _: View) -> dict[str, list[Any]]:
    parts = fidelity(record).parts
    return {"part": list(parts), "rows": list(parts.values())}


PANEL = Panel(
    title="Fidelity",
    kind="plotly",
    caption=caption(fidelity),
    order=80,
    wide=False,
    lacks=lacks.first(lacks.teacher, lacks.answers),
    draw=draw,
    table=table,
    suits=suits.taught,
)
