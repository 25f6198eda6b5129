"""What is selected, in words, on every section: each term can be taken back."""

from __future__ import annotations

from functools import partial

import streamlit as st

from app import state
from kdcore.cases.case import Case
from kdcore.cases.choosing import mask, told, without
from kdcore.errors import BadInput


def bar(case: Case) -> None:
    """The selection as buttons that undo it, and how many rows it means."""
    text = state.view().select
    if not text:
        st.caption(f"{len(case.rows):,} rows. Click a bar, a cell or a point to select what it stands for.")
        return
    try:
        terms, count = told(case, text), int(mask(case, text).sum())
    except BadInput as error:
        st.warning(f"{error} The selection was left out.")
        terms, count = [], len(case.rows)
    with st.container(horizontal=True, vertical_alignment="center", key="selection"):
        st.markdown(f"**{count:,}** of {len(case.rows):,} rows")
        for key, words in terms:
            args = (partial(state.look, select=without(text, key)),)
            st.button(words, icon=":material/close:", key=f"without {key}", on_click=state.attempt, args=args)
        st.button(
            "Clear", key="without all", type="tertiary", on_click=state.attempt, args=(partial(state.look, select=""),)
        )
