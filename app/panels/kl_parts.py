"""The two parts of the distance to the teacher, over the steps."""

from typing import Any

from app import theme
from app.panels import Panel, View, caption
from app.panels import _lacks as lacks
from app.panels import _suits as suits
from app.panels._figure import below_start, line, start_note
from kdcore.probes.kl_parts import kl_parts
from kdcore.runs.record import Record


def draw(record: Record, view: View) -> dict[str, Any]:
    found, look = kl_parts(record), view.theme
    scale = "log" if found.logarithmic else "linear"
    decades = {"dtick": 1} if found.logarithmic else {}
    whole = {"title": {"text": "KL(T‖S), nats"}, "type": scale, "rangemode": "tozero"}
    layout = theme.layout(
        look,
        f"kl parts {scale}",
        xaxis={"title": {"text": "step"}},
        yaxis=below_start(whole | decades, found.highest),
        hovermode="x unified",
        annotations=start_note(found.highest, found.whole, found.step),
    )
    parts = (
        ("both", found.whole, theme.INK),
        ("true class", found.target, theme.GOOD),
        ("other classes", found.rest, theme.TEACHER),
    )
    hover = {"hovertemplate": "%{y:.3g} nats"}
    return {
        "data": [line(name, found.step, values, colour[look], **hover) for name, values, colour in parts],
        "layout": layout,
    }


def table(record: Record, _: View) -> dict[str, list[Any]]:
    found = kl_parts(record)
    return {"step": found.step.tolist(), "target_nats": found.target.tolist(), "rest_nats": found.rest.tolist()}


PANEL = Panel(
    title="KL divergence from the teacher",
    kind="plotly",
    caption=caption(kl_parts),
    order=82,
    wide=False,
    lacks=lacks.first(lacks.teacher, lacks.evaluations),
    draw=draw,
    table=table,
    extra=True,
    suits=suits.taught,
)
