"""What is selected, in words, on every section: each term can be taken back."""

from __future__ import annotations

from functools import partial

import numpy as np
import streamlit as st

from app import state
from app.text.phrases import SPLITS, repeats, share, verbatim
from kdcore.comparison.agreement import partition
from kdcore.comparison.case import Case
from kdcore.comparison.selection import Bools, mask, told, without
from kdcore.errors import BadInput


def bar(case: Case) -> None:
    """Draw the selection as buttons that undo it, and how many rows it means."""
    text = state.view().select
    if not text:
        split = "samples" if _among(case) else SPLITS[case.about.where]  # it is named once
        st.markdown(f"**{len(case.rows):,}** {split}{_among(case)}{figures(case, None)}")
        st.caption("Click a bar, a cell or a point to select its samples.")
        return
    try:
        terms, meant = told(case, text), mask(case, text)
    except BadInput as error:
        st.warning(f"{verbatim(error)} The selection was left out.")
        terms, meant = [], np.ones(len(case.rows), dtype=np.bool_)
    st.markdown(f"**{int(meant.sum()):,}** of {len(case.rows):,} samples{_among(case)}{figures(case, meant)}")
    with st.container(horizontal=True, vertical_alignment="center", key="selection"):
        for key, words in terms:
            act = partial(_drop, key)
            st.button(words, icon=":material/close:", key=f"without {key}", on_click=state.attempt, args=(act,))
        st.button(
            "Clear", key="without all", type="tertiary", on_click=state.attempt, args=(partial(state.look, select=""),)
        )


def _drop(key: str) -> None:
    """Take a term back from what is selected by now: a second click may come before the page of the first."""
    state.look(select=without(state.view().select, key))


def _among(case: Case) -> str:
    """Of which split they are a part, where they are not all of it."""
    whole = case.about.whole
    return f" (of {whole:,} {SPLITS[case.about.where]})" if whole and whole > len(case.rows) else ""


def figures(case: Case, meant: Bools | None) -> str:
    """How good both are on these rows, how often they agree, and how many of the teacher's errors are repeated."""
    rows = case.rows
    if rows.teacher is None:
        return ""
    found = partition(rows, meant)
    shares = {"student right": (found.student_right, found.rows), "teacher right": (found.teacher_right, found.rows),
              "same answer": (found.agreed, found.asked)}  # fmt: skip
    said = [f"{name} **{share(count, of)}**" for name, (count, of) in shares.items() if of]
    if found.rows:
        said.append(repeats(found.repeated, found.teacher_errors, found.expected))
    return "".join(f" · {one}" for one in said)
