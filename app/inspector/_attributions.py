"""Where both models look on the pinned rows, for the same class."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np
import streamlit as st

from app import state, theme
from app.inspector._answers import answered, named, pinned
from app.reports import html_images
from app.reports.html_images import Veil
from app.theme import Theme
from kdcore.comparison.case import Case

WHICH = {"student": "Student's answer", "teacher": "Teacher's answer", "label": "Label", "other": "Another class"}
STARTS = {"black": "black", "mean": "the mean of the training rows"}
READ = (
    "Grad-CAM: what speaks for the class. CAM: what speaks for it and what against it; exact, as the head averages and "
    "weighs. Integrated gradients: how much each value adds to the class's logit on the way from the start. For in "
    "green, against in purple, each picture by its own largest value."
)
POINTS = (
    "A point has no map. Integrated gradients: how much each number adds to the class's logit on the way from the mean "
    "of the training rows."
)


def show(case: Case) -> None:
    """Draw maps of each pinned row for a class of choice."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        known = _known(case)
        which = st.selectbox("For which class", known, format_func=WHICH.__getitem__, key="maps of", width=200)
        other, places = 0, range(len(case.classes))
        if which == "other":
            other = st.selectbox("Class", places, format_func=case.classes.__getitem__, key="maps class", width=200)
        start = "mean"
        if len(case.about.shape) == 3:
            start = st.selectbox(
                "Integrate from", list(STARTS), format_func=STARTS.__getitem__, key="maps from", width=220
            )
    for row in pinned(case):
        place = _class(case, row, which, other)
        told = answered(case, "maps", row=row, of=place, baseline=start)
        if told:
            st.html(card(told, f"Row {row} · for {named(case, place)}", state.view().theme))
    st.caption(READ if len(case.about.shape) == 3 else POINTS)


def _known(case: Case) -> list[str]:
    """Return the choices that this case has."""
    missing = set() if case.rows.teacher is not None else {"teacher"}
    return [name for name in WHICH if name not in missing]


def _class(case: Case, row: int, which: str, other: int) -> int:
    rows = case.rows
    found = {"student": rows.student_top[row], "label": rows.labels[row], "other": other}
    if rows.teacher is not None:
        found["teacher"] = rows.teacher_top[row]
    return max(0, int(found[which]))


def card(told: dict[str, Any], title: str, look: Theme) -> str:
    """All maps of one row, the teacher's first."""
    shown, said = [html_images.figure(told["image"], title, "")], []
    for who in ("teacher", "student"):
        side = told.get(who)
        if side is None:
            continue
        if "lacks" in side:
            said.append(escape(side["lacks"]))
            continue
        shown += _figures(told["image"], who.capitalize(), side, look)
        said.append(f"{who.capitalize()}: {_sentence(side)}")
    return html_images.style(look) + html_images.row(shown) + html_images.sentences(said)


def _figures(image: Any, who: str, side: dict[str, Any], look: Theme) -> list[str]:
    """One model's maps, as many as it has."""
    if "grad_cam" not in side:
        return []
    found = []
    if side["grad_cam"] is not None:
        heat = np.array(side["grad_cam"])
        top = max(float(heat.max()), 1e-12)
        veil = Veil(heat / top, theme.GOOD[look], smooth=True)
        found.append(html_images.figure(image, "Grad-CAM", who, [veil]))
    if side["cam"] is not None:
        found.append(html_images.figure(image, "CAM", who, html_images.signed(side["cam"], look, smooth=True)))
    shares = np.array(side["integrated"]).sum(0)
    return [*found, html_images.figure(image, "Integrated gradients", who, html_images.signed(shares, look))]


def _sentence(side: dict[str, Any]) -> str:
    """Return the numbers behind one model's maps, and what it has none of."""
    said = f"logit <b>{side['logit']:.3g}</b>, at the start {side['from']:.3g}; the integral misses {side['left']:.2g}."
    if "grad_cam" not in side:
        shares = ", ".join(f"x{place} <b>{value:+.3g}</b>" for place, value in enumerate(side["integrated"]))
        return f"{said} Of the difference {shares}."
    if side["grad_cam"] is None:
        said += " No Grad-CAM: none of its stages is a map."
    elif not np.any(side["grad_cam"]):
        said += " Grad-CAM is empty: nothing on its last map speaks for this class."
    return said + (f" {side['no_cam']}" if side["no_cam"] else "")
