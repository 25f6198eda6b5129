"""What the examiner answers at once, kept for as long as the session lives, so that a rerun asks nothing again."""

from __future__ import annotations

import json
from collections import OrderedDict
from typing import Any

import streamlit as st

from app import state
from app.helpers import comparison
from app.text.phrases import verbatim
from kdcore.comparison.case import Case
from kdcore.errors import BadInput

KEPT = 48  # answers


def answered(case: Case, task: str, **wishes: Any) -> dict[str, Any] | None:
    """Return the answer, or None after the page has said why there is none."""
    kept: OrderedDict[str, dict[str, Any]] = state.recall("examiner's answers", OrderedDict())
    key = json.dumps([case.id, task, wishes])
    if key not in kept:
        try:
            with st.spinner("Evaluating both models …", show_time=False):
                kept[key] = comparison.ask(case.folder, task, **wishes)
        except BadInput as error:
            st.info(verbatim(error))
            return None
    kept.move_to_end(key)
    while len(kept) > KEPT:
        kept.popitem(last=False)
    return kept[key]


def pinned(case: Case) -> list[int]:
    """Return the pinned rows, one or two; where a link names one that is not there, the last is meant."""
    view, last = state.view(), len(case.rows) - 1
    return [min(row, last) for row in (view.sample, view.beside) if row is not None]


def named(case: Case, place: int) -> str:
    """Return a class by its place; a question mark where it is unknown."""
    return case.classes[place] if place >= 0 else "?"
