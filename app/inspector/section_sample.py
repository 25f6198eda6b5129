"""One row, or two side by side: what both models say, where they look, what is near, and where they part."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from html import escape

import streamlit as st

from app import state
from app.inspector import _attributions, _input_paths, _neighbours, pad
from app.inspector._answers import named, pinned
from app.inspector._cards import cards
from app.reports import html_images
from app.text.phrases import percent
from kdcore.comparison.case import Case
from kdcore.comparison.sample import ComparedSample, SampleSide, sample

PIECES: dict[str, tuple[str, str, Callable[[Case], None]]] = {
    "maps": ("Where they look", ":material/center_focus_strong:", _attributions.show),
    "near": ("Nearest training samples", ":material/hub:", _neighbours.show),
    "ways": ("Where predictions diverge", ":material/route:", _input_paths.show),
    "edit": ("Edit or draw", ":material/draw:", pad.pad),
}


def show(case: Case) -> None:
    """Draw the section."""
    _choose(case)
    st.html(_faces(case))
    beside = ("beside",) if state.view().beside is not None else ()
    cards(case, "classes", *beside, "samples")
    chosen = st.pills(
        "Look closer", list(PIECES), format_func=lambda name: PIECES[name][0], selection_mode="multi", key="closer"
    )
    for title, icon, draw in (piece for name, piece in PIECES.items() if name in chosen):
        st.subheader(f"{icon} {title}", anchor=False)
        state.fragment(draw)(case)


def _choose(case: Case) -> None:
    """Draw the numbers of the pinned rows; a click in any panel pins too."""
    rows, last = pinned(case), len(case.rows) - 1
    with st.container(horizontal=True, vertical_alignment="bottom"):
        _number("Row", "sample", rows[0], last)
        if len(rows) > 1:
            _number("Beside it", "beside", rows[1], last)
            st.button("One row", icon=":material/close:", on_click=partial(state.look, beside=None))
        else:
            other = (rows[0] + 1) % (last + 1)
            st.button(
                "Compare two samples", icon=":material/splitscreen_right:", on_click=partial(state.look, beside=other)
            )
    st.caption("Click a sample in a panel to pin it here; Shift-click to pin a second one.")


def _number(label: str, field: str, row: int, last: int) -> None:
    name = state.widget(f"row {field}", row)
    st.number_input(
        label, 0, last, step=1, key=name, width=160,
        on_change=lambda: state.look(**{field: int(state.component(name))}),
    )  # fmt: skip


def _faces(case: Case) -> str:
    """Return the pinned rows themselves, with what there is to say of each."""
    look, told = state.view().theme, []
    for row in pinned(case):
        found = sample(case.rows, row, 1.0)
        face = [] if case.pictures is None else [html_images.figure(case.pictures[row].tolist(), f"Row {row}", "")]
        told.append(
            f'<div class="kd-one">{html_images.row(face)}<div>{html_images.sentences(why(case, found))}</div></div>'
        )
    return f'{html_images.style(look)}<div class="kd-pair">{"".join(told)}</div>'


def why(case: Case, found: ComparedSample) -> list[str]:
    """Return what the answers to one row say, in sentences."""
    label = f"It is <b>{escape(named(case, found.label))}</b>." if found.label >= 0 else "It has no label."
    ours = _says(case, "Student", found.student, found)
    if found.teacher is None or found.gap is None:
        return [label, ours]
    theirs = _says(case, "Teacher", found.teacher, found)
    if not found.gap.whole > 0:
        return [label, theirs, ours, "Both outputs are identical."]
    target = escape(named(case, found.target))
    share = found.gap.target / found.gap.whole
    about = f"whether it is {target}" if share >= 0.5 else f"the classes other than {target}"
    same = found.teacher.answer == found.student.answer
    verdict = "They agree, with different confidence" if same else "They disagree"
    return [
        label,
        theirs,
        ours,
        f"{verdict}: {percent(max(share, 1 - share))} of their KL divergence is about {about}.",
    ]


def _says(case: Case, who: str, side: SampleSide, found: ComparedSample) -> str:
    sure = side.probability[found.shown == side.answer]
    how = f", {percent(float(sure[0]))}" if len(sure) else ""
    rank = "" if side.label_rank in (None, 1) else f"; the label has rank {side.label_rank}."
    return f"{who} says <b>{escape(named(case, side.answer))}</b>{how}{rank or '.'}"
