"""The image term's gradient against the KL term's, on the student's logits."""

from typing import Any

from app import theme
from app.panels import Panel, View, caption
from app.panels import _lacks as lacks
from app.panels import _suits as suits
from app.panels._figure import QUANTITIES, beginning, line, note, number, plain
from kdcore.probes.pull import Pull, pull
from kdcore.runs.record import Record

WHOLE = {"minorloglabels": "complete"}  # 0.05 and not 5 between 0.01 and 0.1


def draw(record: Record, view: View) -> dict[str, Any]:
    found, look = pull(record), view.theme
    layout = theme.layout(
        look,
        "pull",
        xaxis={"title": {"text": "step"}, "domain": [0, 0.74], "anchor": "y2"},
        yaxis={"title": {"text": "norm"}, "domain": [0.58, 0.98], "type": "log", "nticks": 4} | WHOLE,
        yaxis2={"title": {"text": "cosine"}, "domain": [0.0, 0.46], "range": [-1.05, 1.05]},
        xaxis2={"title": {"text": "samples now"}, "domain": [0.82, 1.0], "anchor": "y2", "nticks": 3},
        hovermode="x unified",
        shapes=beginning(record, look),
        annotations=[note(_text(found), 0.0, 0.475, bgcolor=theme.PAPER[look])],
    )
    return {"data": _lines(found, look), "layout": layout}


def _lines(found: Pull, look: theme.Theme) -> list[dict[str, Any]]:
    colour = theme.DISAGREE[look]
    bars = {"type": "bar", "orientation": "h", "xaxis": "x2", "yaxis": "y2", "showlegend": False}
    counts = {"x": plain(found.rows), "y": plain(found.centre), "marker": {"color": colour}}
    hover = "%{x} samples around %{y:.2f}<extra></extra>"
    return [
        line("image term", found.step, found.image, QUANTITIES[0][look]),
        line("KL term", found.step, found.kl, theme.TEACHER[look]),
        line("cosine", found.step, found.cosine, colour, yaxis="y2"),
        bars | counts | {"uid": "rows", "hovertemplate": hover},
    ]


def _text(found: Pull) -> str:
    return f"now cos <b>{number(found.cosine_now, '+.2f')}</b> · image ÷ KL <b>{number(found.ratio, '.2g')}</b>"


def table(record: Record, _: View) -> dict[str, list[Any]]:
    found = pull(record)
    columns = {"image_norm": found.image, "kl_norm": found.kl, "cosine": found.cosine}
    return {"step": found.step.tolist()} | {name: values.tolist() for name, values in columns.items()}


PANEL = Panel(
    title="Gradient balance of image and KL term",
    kind="plotly",
    caption=caption(pull),
    order=32,
    wide=False,
    lacks=lacks.recorded("own_pull_cosine"),
    draw=draw,
    table=table,
    suits=suits.records("own_pull_cosine"),
)
