"""Draw and bring: images of one's own before both models, and columns of one's own for the rows."""

from __future__ import annotations

from functools import partial

import streamlit as st

from app import state
from app.helpers import comparison
from app.inspector.pad import pad
from kdcore.comparison import uploaded_images, uploaded_logits
from kdcore.comparison.case import Case

IMAGES, COLUMNS = "images brought", "columns brought"  # the widgets


def show(case: Case) -> None:
    """Draw the section."""
    st.subheader("Draw", anchor=False)
    state.fragment(pad)(case)
    left, right = st.columns(2, gap="large")
    with left:
        _images(case)
    with right:
        _columns(case)


def _images(case: Case) -> None:
    """Several images become a case of their own."""
    st.subheader("Images of your own", anchor=False)
    if case.about.data is None:
        st.info("Only outputs were uploaded; open two models to evaluate images.")
        return
    if len(case.about.shape) != 3:
        st.info("These data are points, so there are no images to bring; the Lab takes points of your own as a CSV.")
        return
    channels, height, width = case.about.shape
    colours = "grey" if channels == 1 else "in colour"
    st.caption(
        f"Both models are asked about them at once, each image made {width}x{height} and {colours} first. They have no "
        "label, so who is right is not known; where the two differ is."
    )
    st.file_uploader(
        "Images (PNG, JPEG)",
        type=["png", "jpg", "jpeg"],
        accept_multiple_files=True,
        key=IMAGES,
        on_change=state.attempt,
        args=(partial(_check, case),),
        help=f"Up to {uploaded_images.MOST} at once, of {uploaded_images.MOST_PIXELS // 10**6} million pixels at most.",
    )
    files = state.component(IMAGES) or []
    st.button(
        f"Ask both about {len(files)}" if files else "Ask both",
        disabled=not files,
        icon=":material/image_search:",
        on_click=state.attempt,
        args=(partial(_ask, case),),
    )


def _files() -> dict[str, bytes]:
    """Return what was uploaded by name; of several of one name the later ones say which they are."""
    found: dict[str, bytes] = {}
    for place, file in enumerate(state.component(IMAGES) or [], 1):
        found[f"{file.name} ({place})" if file.name in found else file.name] = file.getvalue()
    return found


def _check(case: Case) -> None:
    """Refuse at once what is no image."""
    if files := _files():
        uploaded_images.rows_of(files, case.about.shape)


def _ask(case: Case) -> None:
    state.compare(comparison.brought(case, _files()))
    state.put("section", "where")


def _columns(case: Case) -> None:
    """Numbers of one's own, one line a row."""
    st.subheader("Columns of your own", anchor=False)
    st.caption(
        "A CSV with a column `row` (the row's number in its split, as samples show it) and columns of numbers, such as "
        "how old it is or how long it took to draw. Slices and selections know them afterwards; find slices again to "
        "use them."
    )
    st.file_uploader("Columns (CSV)", type=["csv"], key=COLUMNS, on_change=state.attempt, args=(partial(_add, case),))
    held = list(case.part("columns"))
    if held:
        st.caption(f"This case has the columns {', '.join(held)}.")


def _add(case: Case) -> None:
    file = state.component(COLUMNS)
    if file is not None:
        uploaded_logits.add_columns(case, file.getvalue())
