"""Loss along the straight line between two students."""

from typing import Any

from app import theme
from app.panels import Panel, View, caption
from app.panels._bands import band
from app.panels._figure import SHARES
from app.panels.cases import _needs as needs
from app.panels.cases._words import aside
from kdcore.comparison.case import Case
from kdcore.comparison.intervals import Z
from kdcore.comparison.weight_interpolation import SPLITS, line

COLOURS = {"training": theme.MUTED, "validation": theme.STUDENT}


def draw(case: Case, view: View) -> dict[str, Any]:
    found, look = line(case), view.theme
    data: list[dict[str, Any]] = []
    for place, name in enumerate(SPLITS):
        colour = COLOURS[name][look]
        loss, half, accuracy = found.loss[place], Z * found.error[place], found.accuracy[place]
        around, own = band(name, found.share, loss, loss - half, loss + half, colour)
        data += [around, own | {"hovertemplate": f"{name} at %{{x:.0%}}: %{{y:.4f}} nats<extra></extra>"}]
        below = band(name, found.share, accuracy, found.low[place], found.high[place], colour, yaxis="y2")
        hover = {"hovertemplate": f"{name} at %{{x:.0%}}: %{{y:.1%}}<extra></extra>", "showlegend": False}
        data += [one | hover | {"uid": f"{one['uid']} accuracy"} for one in below]
        data[-2] |= {"hoverinfo": "skip", "hovertemplate": None}
    ends = f"from the student to {found.other}" if found.other else "from its first weights to its last"
    told = " and ".join(f"{name} {value:.3f}" for name, value in zip(SPLITS, found.barrier, strict=True))
    said = aside(
        f"barrier in nats: <b>{told}</b>",
        ends,
        f"{found.rows[0]:,} training and {found.rows[1]:,} validation rows",
        lifted=26,
    )
    layout = theme.layout(
        look,
        "line",
        xaxis={"title": {"text": "share of the way"}, "tickformat": ".0%", "anchor": "y2"},
        yaxis={"domain": [0.5, 1.0], "title": {"text": "loss, nats"}, "rangemode": "tozero"},
        yaxis2={"domain": [0.0, 0.42], "title": {"text": "accuracy"}} | SHARES,
        annotations=[said],
    )
    layout["margin"] |= {"t": 84}
    return {"data": data, "layout": layout}


def table(case: Case, _: View) -> dict[str, list[Any]]:
    found = line(case)
    told: dict[str, list[Any]] = {"share": found.share.tolist()}
    for place, name in enumerate(SPLITS):
        told |= {f"{name}_loss": found.loss[place].tolist(), f"{name}_standard_error": found.error[place].tolist()}
        told |= {f"{name}_accuracy": found.accuracy[place].tolist()}
    return told


PANEL = Panel(
    title="Interpolation between two students",
    kind="plotly",
    caption=caption(line),
    order=780,
    wide=True,
    lacks=needs.part("line", "Interpolation not computed yet; press the button above."),
    draw=draw,
    table=table,
)
