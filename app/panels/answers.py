"""How far the student's answers are from the teacher's as distributions."""

from typing import Any

from app import theme
from app.panels import Panel, View, caption
from app.panels import _lacks as lacks
from app.panels import _suits as suits
from app.panels._figure import beginning, below_start, line, start_note
from kdcore.probes.answers import answers
from kdcore.runs.record import Record


def draw(record: Record, view: View) -> dict[str, Any]:
    found, look = answers(record), view.theme
    distance = {"title": {"text": "sliced Wasserstein"}, "rangemode": "tozero"}
    layout = theme.layout(
        look,
        "answers",
        xaxis={"title": {"text": "step"}},
        yaxis=below_start(distance, found.highest),
        shapes=beginning(record, look),
        annotations=start_note(found.highest, found.distance, found.step),
    )
    return {"data": [line("distance", found.step, found.distance, theme.STUDENT[look])], "layout": layout}


def table(record: Record, _: View) -> dict[str, list[Any]]:
    found = answers(record)
    return {"step": found.step.tolist(), "sliced_wasserstein": found.distance.tolist()}


PANEL = Panel(
    title="Output distance (sliced Wasserstein)",
    kind="plotly",
    caption=caption(answers),
    order=36,
    wide=False,
    lacks=lacks.followed("sliced_wasserstein"),
    draw=draw,
    table=table,
    suits=suits.making,
)
