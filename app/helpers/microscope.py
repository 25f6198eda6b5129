"""The inversion microscope: any image of a run under a lens, asked of a helper process, since this one has no torch."""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt
from typing import Any, Literal, get_args

import streamlit as st

from app import run_store, state
from app.reports.microscope_card import Sight, card
from app.text.consent import OTHERS
from app.text.phrases import money, verbatim
from kdcore.errors import BadInput
from kdcore.jobs.rows import Run
from kdcore.runs.bill import dollars
from kdcore.spec.catalogue import entry
from kdcore.stdio_rpc import HelperProcess

Under = Literal["A probe image", "Between two classes", "Any latent"]
MOST = 10  # classes with a slider each
REACH = 4.0  # of a latent's numbers, in standard deviations of those that the generator learned with

helper = HelperProcess("kdcore.blackbox.microscope", 120.0, "This image")


def lens(run: Run, classes: tuple[str, ...]) -> None:
    """The microscope for one run; what it needs of a person stands above what it shows."""
    makes = entry("source", run.spec.source.name)["makes"]
    kinds = get_args(Under) if makes and len(classes) <= MOST else get_args(Under)[: 2 if makes else 1]
    under = st.segmented_control(
        "Under the lens", kinds, default=kinds[0], required=True, key="lens under", label_visibility="collapsed"
    )
    asked = {
        kinds[0]: _row,
        "Between two classes": _walk,
        "Any latent": _latent,
    }[under or kinds[0]](classes)
    _look(run, asked)


def _look(run: Run, asked: Mapping[str, Any]) -> None:
    """What the helper sees, or one sentence on why it sees nothing."""
    pressed = state.recall("lens asks", None) == asked
    state.remember("lens asks", None, local=True)
    found = _seen(run, asked, pressed)
    if found is None:
        return
    st.html(card(found, state.view().theme))
    if found["may_ask"] and not state.owns(run):
        st.caption(OTHERS)
    elif found["may_ask"]:
        spent = found.get("left") == 0
        if says := found.get("says"):
            st.caption(verbatim(says))
        st.button(
            _offer(run, asked),
            disabled=spent,
            help="Nothing more can be sent by hand." if spent else None,
            icon=":material/help:",
            key="lens asks",
            on_click=state.remember,
            args=("lens asks", dict(asked)),
            kwargs={"local": True},
        )
    elif found["teacher"] is None:
        st.caption("The teacher of this run is not on this machine, so it has no output for new images.")


def _seen(run: Run, asked: Mapping[str, Any], ask: bool) -> Sight | None:
    """What the helper sees; a question that cannot be asked is told, and the rest is seen without it."""
    try:
        with st.spinner("Looking …", show_time=False):
            return sight(run, {**asked, "ask": ask})
    except BadInput as error:
        st.info(verbatim(error))
    return _seen(run, asked, ask=False) if ask else None


def _offer(run: Run, asked: Mapping[str, Any]) -> str:
    """What pressing the button sends, and what that costs."""
    price = dollars(1, run.spec.wall.price if run.spec.wall else 0.0)
    image = "held-out image" if "row" in asked else "synthetic image"
    return f"Send this {image} to the teacher: 1 query, {money(price)}"


def sight(run: Run, asked: Mapping[str, Any]) -> Sight:
    """What the helper sees of one image.

    Raises:
        BadInput: why it sees nothing, such as that its teacher is to be asked by somebody else than the run's owner.
    """
    if asked.get("ask") and not state.owns(run):
        raise BadInput(OTHERS)
    taught = run_store.store().finished_teacher(run.spec.teacher.hash) if run.spec.teacher else None
    place = {"folder": str(run.folder), "teacher": str(taught.weights) if taught else None}
    found: Sight = helper.ask({**asked, **place, "spec": run.spec.model_dump_json()})["sight"]
    return found


def _row(_: tuple[str, ...]) -> dict[str, Any]:
    """A probe image by its number: the one that is pinned in the panels."""
    shown = state.view().sample
    name = state.widget("lens sample", shown)
    with st.container(width=280):
        st.number_input("Number, or pin one in a panel", min_value=0, step=1, key=name, on_change=_pin, args=(name,))
    return {"row": state.view().sample}


def _pin(name: str) -> None:
    state.pin(int(state.component(name)))


def _walk(classes: tuple[str, ...]) -> dict[str, Any]:
    """A latent between those of two sure answers."""
    columns = st.columns([1, 2, 1])
    places = range(len(classes))
    with columns[0]:
        start = st.selectbox("From", places, format_func=classes.__getitem__, key="lens from")
    with columns[2]:
        end = st.selectbox("To", places, index=min(1, len(classes) - 1), format_func=classes.__getitem__, key="lens to")
    with columns[1]:
        share = st.slider("Interpolation", 0.0, 1.0, 0.5, 0.05, key="lens share")
    return {"latent": between(len(classes), start, end, share)}


def between(classes: int, start: int, end: int, share: float) -> list[float]:
    """A latent (C,) on the straight line between two centred one-hot answers, each as long as latents mostly are.

    Such an answer is s (1_k - 1/C) with s = sqrt(C) / sqrt(1 - 1/C), so that its length is sqrt(C), that of N(0, I).
    """
    scale = sqrt(classes) / sqrt(1 - 1 / classes)
    shares = [(1 - share) * (k == start) + share * (k == end) for k in range(classes)]
    return [scale * (own - 1 / classes) for own in shares]


def _latent(classes: tuple[str, ...]) -> dict[str, Any]:
    """Every number of a latent by hand."""
    columns = st.columns(min(5, len(classes)))
    values = []
    for place, name in enumerate(classes):
        with columns[place % len(columns)]:
            first = 2.0 if place == 0 else 0.0
            values.append(st.slider(name, -REACH, REACH, first, 0.25, key=f"lens latent {place}"))
    return {"latent": values}
