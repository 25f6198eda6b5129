"""Scores of calibration of the three models, side by side."""

from math import isfinite, isnan
from typing import Any

from app.panels import Panel, View, caption
from app.panels._figure import number
from app.panels.cases import _claims
from kdcore.comparison.case import Case
from kdcore.comparison.scores import ComparisonScore, scores

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
    found = _claims.scored(case, view)
    columns = [{"text": _claims.NAMES[name], "colour": _claims.COLOURS[name][view.theme]} for name in found]
    rows = [
        {
            "name": "NLL, nats" if name == "NLL" else name,
            "part": name in PARTS,
            "cells": [_said(name, told[name]) for told in found.values()],
        }
        for name in next(iter(found.values()))
    ]
    return {"columns": columns, "rows": rows}


def _said(name: str, score: ComparisonScore) -> list[str]:
    """Return the score, and its interval where it has one."""
    form = ".2%" if name in PERCENT else ".4f"
    if not isfinite(score.value) or isnan(score.low):
        return [number(score.value, form), ""]
    return [number(score.value, form), f" [{number(score.low, form)}, {number(score.high, form)}]"]


def table(case: Case, view: View) -> dict[str, list[Any]]:
    found = _claims.scored(case, view)
    columns: dict[str, list[Any]] = {"score": list(next(iter(found.values())))}
    for model, told in found.items():
        for place, part in enumerate(("", "_low", "_high")):
            columns[model + part] = [score[place] if isfinite(score[place]) else None for score in told.values()]
    return columns


PANEL = Panel(
    title="Scores",
    kind="table",
    caption=caption(scores),
    order=210,
    wide=True,
    lacks=_claims.lacks,
    draw=draw,
    table=table,
)
