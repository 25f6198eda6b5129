"""Scores of calibration of the three models, side by side."""

from math import isfinite, isnan
from typing import Any

from app import theme
from app.panels import Panel, View, caption
from app.panels._figure import number
from app.panels.cases import _claims
from kdcore.cases.case import Case
from kdcore.cases.scores import Score, scores

PERCENT = (
    "accuracy",
    "confidence",
    "ECE",
    "ECE by chance",
    "adaptive ECE",
    "smooth ECE",
    "class-wise ECE",
    "AURC",
    "excess AURC",
)
PARTS = ("reliability", "resolution", "uncertainty", "within bins")  # of the Brier score


def draw(case: Case, view: View) -> dict[str, Any]:
    found, look = _claims.scored(case, view), view.theme
    names = list(next(iter(found.values())))
    flat = {"align": ["left", "right"], "height": 21}
    head = {"values": ["", *(f"<b>{_claims.NAMES[name]}</b>" for name in found)]} | flat
    head |= {"fill": {"color": theme.FIELD_ZERO[look]}, "line": {"width": 0}}
    head |= {"font": {"color": [theme.INK[look], *(_claims.COLOURS[name][look] for name in found)], "size": 14}}
    columns = [[_said(name, score) for name, score in told.items()] for told in found.values()]
    cells = {"values": [[_named(name) for name in names], *columns], "font": {"color": theme.INK[look], "size": 12}}
    cells |= {"fill": {"color": "rgba(0,0,0,0)"}, "line": {"color": theme.GRID[look]}} | flat
    trace = {"type": "table", "uid": "scores", "header": head, "cells": cells}
    return {"data": [trace], "layout": theme.layout(look, "scores", margin={"l": 0, "r": 0, "t": 0, "b": 0})}


def _named(name: str) -> str:
    return f"  · {name}" if name in PARTS else "NLL, nats" if name == "NLL" else name


def _said(name: str, score: Score) -> str:
    form = ".2%" if name in PERCENT else ".4f"
    if not isfinite(score.value) or isnan(score.low):
        return number(score.value, form)
    return f"<b>{number(score.value, form)}</b> [{number(score.low, form)}, {number(score.high, form)}]"


def table(case: Case, view: View) -> dict[str, list[Any]]:
    found = _claims.scored(case, view)
    columns: dict[str, list[Any]] = {"score": list(next(iter(found.values())))}
    for model, told in found.items():
        for place, part in enumerate(("", "_low", "_high")):
            columns[model + part] = [score[place] if isfinite(score[place]) else None for score in told.values()]
    return columns


PANEL = Panel(
    title="Scores",
    kind="plotly",
    caption=caption(scores),
    order=210,
    wide=True,
    lacks=_claims.lacks,
    draw=draw,
    table=table,
)
