"""One press starts a run, but never one that sends images away: those are confirmed, with address and price."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import streamlit as st

from app import run_store, state
from app.text import phrases
from app.text.sending import promised
from kdcore.errors import BadInput
from kdcore.spec.lineage import members
from kdcore.spec.spec import Spec

PENDING = "start to be confirmed"
Act = Callable[[], object]


def sending(specs: Sequence[Spec]) -> list[Spec]:
    """Return all runs with a remote teacher that starting `specs` starts, without those before them that are done."""
    found = {}
    for spec in specs:
        for one in members(spec):
            if one.remote and (one is spec or run_store.store().finished_teacher(one.hash) is None):
                found[one.hash] = one
    return list(found.values())


def start_button(
    label: str, icon: str, key: str, planned: Callable[[], Sequence[Spec]], act: Act, says: str | None = None
) -> None:
    """Draw a button that starts runs at one press, or asks first where they send images to a remote teacher."""
    first = partial(_press, key, planned, act)
    st.button(label, icon=f":material/{icon}:", key=key, on_click=state.attempt, args=(first,), help=says)


def confirmation(key: str, planned: Callable[[], Sequence[Spec]], act: Act) -> None:
    """Draw what the pressed button would send, and the two ways on; nothing where it was not pressed."""
    if state.recall(PENDING, "") != key:
        return
    try:
        remote = sending(planned())
    except BadInput as error:
        st.warning(phrases.verbatim(error))
        return
    with st.container(border=True, key="confirm sending"):
        st.markdown("**This sends images to a remote teacher, which may cost money.**")
        for said in promised(remote):
            st.markdown(f"- {phrases.verbatim(said)}")
        with st.container(horizontal=True):
            go = partial(_confirm, act)
            st.button("Send and start", type="primary", icon=":material/send:", on_click=state.attempt, args=(go,))
            st.button("Cancel", key="cancel sending", on_click=state.attempt, args=(_forget,))


def _press(key: str, planned: Callable[[], Sequence[Spec]], act: Act) -> None:
    if sending(planned()):
        state.remember(PENDING, key)
        return
    act()


def _confirm(act: Act) -> None:
    _forget()
    act()


def _forget() -> None:
    state.remember(PENDING, "")
