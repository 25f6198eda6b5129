"""Logits and softened probabilities of the pinned sample."""

from typing import Any

from app import theme
from app.panels import Panel, View, caption
from app.panels import _lacks as lacks
from app.panels._figure import class_axis, class_title, label_mark, note, number, plain
from kdcore.probes.logits import Answer, Logits, logits
from kdcore.record import Record


def draw(record: Record, view: View) -> dict[str, Any]:
    found, look = logits(record, view.sample, view.temperature), view.theme
    bars = [] if found.teacher is None else _bars(found, found.teacher, "teacher", theme.TEACHER[look])
    classes = class_axis(found.classes, found.label) | class_title(len(found.classes), found.hidden) | {"anchor": "y2"}
    layout = theme.layout(
        look,
        "logits",
        barmode="group",
        bargap=0.25,
        xaxis=classes,
        yaxis={"title": {"text": "logit"}, "domain": [0.56, 1.0]},
        yaxis2={"title": {"text": "probability"}, "domain": [0.0, 0.44], "tickformat": ".0%", "rangemode": "tozero"},
        shapes=[label_mark(found.label, look)],
        annotations=[note(_text(found), 0.0, 0.45)],
    )
    return {"data": bars + _bars(found, found.student, "student", theme.STUDENT[look]), "layout": layout}


def _bars(found: Logits, answer: Answer, name: str, colour: str) -> list[dict[str, Any]]:
    """One network's bars, logits above and probabilities below."""
    shared = {"type": "bar", "name": name, "legendgroup": name, "marker": {"color": colour}}
    shared |= {"x": list(range(len(found.classes))), "customdata": list(found.classes)}
    hover = f"%{{customdata}}: %{{y:.3g}}<extra>{name}</extra>"
    below = {"yaxis": "y2", "showlegend": False, "hovertemplate": hover.replace(".3g", ".2%")}
    return [
        {"uid": f"{name} logit", "y": plain(answer.logits), "hovertemplate": hover} | shared,
        {"uid": f"{name} probability", "y": plain(answer.probability)} | shared | below,
    ]


def _text(found: Logits) -> str:
    distance = "" if found.kl_nats is None else f" · KL(T‖S) <b>{number(found.kl_nats, '.3g')} nats</b>"
    return f"sample {found.sample} · τ = {found.temperature:g}{distance}"


def table(record: Record, view: View) -> dict[str, list[Any]]:
    found = logits(record, view.sample, view.temperature)
    columns: dict[str, list[Any]] = {"class": list(found.classes)}
    columns["is_label"] = [place == found.label for place in range(len(found.classes))]
    for name, answer in (("teacher", found.teacher), ("student", found.student)):
        if answer is not None:
            columns |= {f"{name}_logit": answer.logits.tolist(), f"{name}_probability": answer.probability.tolist()}
    return columns


PANEL = Panel(
    title="Logits of one sample",
    kind="plotly",
    caption=caption(logits),
    order=40,
    wide=False,
    lacks=lacks.answers,
    draw=draw,
    table=table,
)
