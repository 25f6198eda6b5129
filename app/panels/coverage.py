"""What the made images cover, over the steps."""

from typing import Any

from app import theme
from app.panels import Panel, View, caption
from app.panels import _lacks as lacks
from app.panels import _suits as suits
from app.panels._figure import QUANTITIES, beginning, below_start, line, note, number, start_note
from kdcore.probes.coverage import SHARES, Coverage, coverage
from kdcore.runs.record import Record

NAMES = {"cycle": "cycle", "argmax_inverse": "inverse", "confidence": "confidence"}


def draw(record: Record, view: View) -> dict[str, Any]:
    found, look = coverage(record), view.theme
    distance = {"title": {"text": "Fréchet"}, "domain": [0.0, 0.3], "rangemode": "tozero", "nticks": 4}
    lines = _lines(found, look)
    above = any("yaxis" not in one for one in lines)
    unknown = str(lacks.followed("class_entropy")(record))
    missing = [] if above else [note(unknown, 0.0, 0.42, bgcolor=theme.PAPER[look])]
    layout = theme.layout(
        look,
        "coverage",
        xaxis={"title": {"text": "step"}, "anchor": "y2"},
        yaxis={"title": {"text": "share"}, "domain": [0.4, 1.0], "range": [-0.02, 1.04], "tickformat": ".0%"},
        yaxis2=below_start(distance, found.highest_frechet),
        hovermode="x unified",
        shapes=beginning(record, look),
        annotations=[*missing, *start_note(found.highest_frechet, found.frechet, found.step, "y2")],
    )
    return {"data": lines, "layout": layout}


def _lines(found: Coverage, look: theme.Theme) -> list[dict[str, Any]]:
    colours = {"cycle": theme.GOOD, "argmax_inverse": theme.DISAGREE, "confidence": theme.TEACHER}
    lines = [line(NAMES[name], found.step, values, colours[name][look]) for name, values in found.shares.items()]
    said = [f"{number(value, '.2f')} of {number(found.highest, '.2f')} nats" for value in found.class_entropy]
    hover = {"customdata": said, "hovertemplate": "%{y:.0%} (%{customdata})"}
    if (found.entropy_share == found.entropy_share).any():  # it takes the teacher's answers
        lines.append(line("entropy", found.step, found.entropy_share, QUANTITIES[0][look], **hover))
    return [*lines, line("Fréchet", found.step, found.frechet, theme.MUTED[look], yaxis="y2")]


def table(record: Record, _: View) -> dict[str, list[Any]]:
    found = coverage(record)
    columns = {name: found.shares[name] for name in SHARES if name in found.shares}
    columns |= {"class_entropy_nats": found.class_entropy, "frechet": found.frechet}
    numbers = {name: values.tolist() for name, values in columns.items()}
    return {"step": found.step.tolist()} | numbers | {"highest_entropy_nats": [found.highest] * len(found.step)}


PANEL = Panel(
    title="Coverage of the synthetic images",
    kind="plotly",
    caption=caption(coverage),
    order=34,
    wide=False,
    lacks=lacks.followed("class_entropy", "frechet"),
    draw=draw,
    table=table,
    suits=suits.making,
)
