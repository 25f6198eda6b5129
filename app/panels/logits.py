"""Logits and softened probabilities of the pinned sample."""

from typing import Any

from app import theme
from app.panels import Panel, View, caption, softening
from app.panels import _lacks as lacks
from app.panels._figure import number, shown_at, softened
from app.panels._scores import bars, layout
from kdcore.probes._rows import trained_temperature
from kdcore.probes.logits import Logits, logits
from kdcore.runs.record import Record


def _found(record: Record, view: View) -> Logits:
    return logits(record, view.sample, softening(view, trained_temperature(record)))


def draw(record: Record, view: View) -> dict[str, Any]:
    found, look = _found(record, view), view.theme
    sides = (("teacher", found.teacher, theme.TEACHER), ("student", found.student, theme.STUDENT))
    drawn = [
        bar
        for name, answer, colour in sides
        if answer is not None
        for bar in bars(found.classes, answer.logits, answer.probability, name, colour[look])
    ]
    text = _text(found, trained_temperature(record))
    shown = layout(look, "logits", found.classes, found.label, found.hidden, text)
    return {"data": drawn, "layout": softened(shown, found.temperature)}


def _text(found: Logits, trained: float | None) -> str:
    distance = "" if found.kl_nats is None else f" · KL(T‖S) <b>{number(found.kl_nats, '.3g')} nats</b>"
    return f"sample {found.sample} · {shown_at(found.temperature, trained)}{distance}"


def table(record: Record, view: View) -> dict[str, list[Any]]:
    found = _found(record, view)
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
    softened=True,
)
